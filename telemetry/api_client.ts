import type {
  context,
  diag,
  metrics,
  propagation,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
} from "@opentelemetry/api";
import { cannotImport, exportsOf } from "../model/dependency.ts";

export type {
  Attributes,
  Context,
  Link,
  Meter,
  ObservableResult,
  Span,
  SpanContext,
  Tracer,
} from "@opentelemetry/api";

/** Makes tracers: of OpenTelemetry's API. */
export type TracerProvider = ReturnType<
  (typeof import("@opentelemetry/api"))["trace"]["getTracerProvider"]
>;
/** Makes meters: of OpenTelemetry's API. */
export type MeterProvider = ReturnType<
  (typeof import("@opentelemetry/api"))["metrics"]["getMeterProvider"]
>;
/** Writes contexts, and reads them: of OpenTelemetry's API. */
export type TextMapPropagator = Parameters<
  (typeof import("@opentelemetry/api"))["propagation"]["setGlobalPropagator"]
>[0];

/** The part of OpenTelemetry's API that is used. */
export interface Api {
  /** The context that is active. */
  readonly context: typeof context;
  /** Where it tells of its own errors. */
  readonly diag: typeof diag;
  /** Spans and their providers. */
  readonly trace: typeof trace;
  /** Metrics and their providers. */
  readonly metrics: typeof metrics;
  /** Contexts in headers. */
  readonly propagation: typeof propagation;
  /** The context without a span. */
  readonly ROOT_CONTEXT: typeof ROOT_CONTEXT;
  /** The kinds of spans. */
  readonly SpanKind: typeof SpanKind;
  /** The results of spans. */
  readonly SpanStatusCode: typeof SpanStatusCode;
}

/**
 * Imports the API. Its state is the process's: another copy of the package has the same
 * providers.
 *
 * @returns The API.
 * @throws {TransportError} If it is not installed; its code is `dependency-missing`.
 */
export async function loadApi(): Promise<Api> {
  try {
    return exportsOf<Api>(await import("@opentelemetry/api"), "trace");
  } catch (cause) {
    throw cannotImport("trace messages", ["@opentelemetry/api"], cause);
  }
}
