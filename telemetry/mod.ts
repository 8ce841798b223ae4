/**
 * Traces and metrics by OpenTelemetry's conventions for messaging, over
 * `npm:@opentelemetry/api`: spans for each publish, hand-over and settlement, whose
 * context travels in the headers of the messages.
 *
 * @module
 */

export { telemetry } from "./telemetry.ts";
export type { TelemetryOptions } from "./options.ts";
export type {
  MeterProvider,
  TextMapPropagator,
  TracerProvider,
} from "./api_client.ts";
