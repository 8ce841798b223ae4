import { Queue } from "../messaging/entities/queue.ts";
import {
  checkKnown,
  type KnownOptions,
  optionsOf,
} from "../messaging/known_options.ts";
import { OptionError } from "../model/errors.ts";
import { quote } from "../model/foreign_text.ts";
import type {
  MeterProvider,
  TextMapPropagator,
  TracerProvider,
} from "./api_client.ts";

/** Options of {@linkcode telemetry}. */
export interface TelemetryOptions {
  /** Makes the tracer. @default {the global one} */
  readonly tracerProvider?: TracerProvider | undefined;
  /** Makes the meter. @default {the global one at the time of the call} */
  readonly meterProvider?: MeterProvider | undefined;
  /** Writes contexts into headers, and reads them. @default {the global one} */
  readonly propagator?: TextMapPropagator | undefined;
  /**
   * Whether the span `process` of a single message is a child of the span that created
   * it, in one trace with it, beside its link to that. Spans of batches have links alone.
   * @default {false}
   */
  readonly continueTrace?: boolean | undefined;
  /**
   * The queues whose depth is told by the metric `dashi.queue.depth`: with each
   * collection of metrics the broker is asked for their ready messages. @default {none}
   */
  readonly depthOf?: readonly (Queue | string)[] | undefined;
}

const TELEMETRY: KnownOptions = optionsOf<TelemetryOptions>(
  "telemetry",
  {
    tracerProvider: "object",
    meterProvider: "object",
    propagator: "object",
    continueTrace: "boolean",
    depthOf: "array",
  },
  { tracer: '"tracerProvider"', meter: '"meterProvider"', depth: '"depthOf"' },
);

/** The methods that each of OpenTelemetry's objects is known by. */
const METHODS = {
  tracerProvider: ["getTracer"],
  meterProvider: ["getMeter"],
  propagator: ["inject", "extract", "fields"],
} as const;

/**
 * Refuses options that are none.
 *
 * @param options The options as they were given.
 * @throws {OptionError} If one is unknown or bad.
 */
export function checkTelemetry(options: TelemetryOptions): void {
  checkKnown(options, TELEMETRY);
  for (const [name, methods] of Object.entries(METHODS)) {
    const given: unknown = Reflect.get(options, name);
    if (given === undefined) continue;
    const missing = methods.find((method) =>
      typeof Reflect.get(Object(given), method) !== "function"
    );
    if (missing === undefined) continue;
    throw new OptionError(
      `Cannot use ${
        quote(given)
      } as the option "${name}" of telemetry: it has no method "${missing}"`,
    );
  }
  for (const queue of options.depthOf ?? []) {
    const given: unknown = queue;
    if (given instanceof Queue || (typeof given === "string" && given !== "")) {
      continue;
    }
    throw new OptionError(
      `Cannot use ${
        quote(given)
      } in the option "depthOf" of telemetry: it must be a Queue, or the name of one`,
    );
  }
}
