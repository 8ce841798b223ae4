import type { Queue } from "../messaging/entities/queue.ts";
import { type KnownOptions, optionsOf } from "../messaging/known_options.ts";
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

/** The known options of `telemetry`. */
export const TELEMETRY: KnownOptions = optionsOf<TelemetryOptions>(
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
