import type { Middleware, MiddlewareHost } from "../messaging/mod.ts";
import { loadApi } from "./api_client.ts";
import { Propagation } from "./carrier.ts";
import { ConnectionTelemetry } from "./connection_telemetry.ts";
import { metersOf } from "./meters.ts";
import { checkTelemetry, type TelemetryOptions } from "./options.ts";
import type { Recorder } from "./recorder.ts";
import { SCOPE } from "./scope.ts";

/**
 * Makes a middleware that records what a connection does, by OpenTelemetry's conventions
 * for messaging. Register providers first, or start Deno with `OTEL_DENO=true`; use it
 * before other middlewares, so that it sees messages as they are on the wire.
 *
 * Attributes name destinations, ids and kinds of errors; no body, header or error text is
 * among them.
 *
 * @param options Providers other than the global ones, and how spans are connected.
 * @returns The middleware, for `connection.use`: of one connection or of several.
 * @throws {OptionError} If an option is unknown or bad.
 * @throws {TransportError} If `@opentelemetry/api` is not installed.
 *
 * @example Trace a connection
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import {
 *   InMemorySpanExporter,
 *   SimpleSpanProcessor,
 *   TracerProvider,
 * } from "@opentelemetry/sdk-trace";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { telemetry } from "@dashi/mq/telemetry";
 *
 * const exporter = new InMemorySpanExporter();
 * const tracerProvider = new TracerProvider({
 *   spanProcessors: [new SimpleSpanProcessor({ exporter })],
 * });
 * await using connection = createConnection("memory://traced");
 * connection.use(await telemetry({ tracerProvider })); // or the global ones: telemetry()
 * await connection.send(new Queue("orders"), { id: 1 });
 * assertEquals(exporter.getFinishedSpans()[0]?.name, "publish orders");
 * ```
 */
export async function telemetry(
  options: TelemetryOptions = {},
): Promise<(connection: MiddlewareHost) => Middleware> {
  checkTelemetry(options);
  const { tracerProvider, meterProvider, propagator } = options;
  const api = await loadApi();
  const { name, version, options: scope } = SCOPE;
  const recorder: Recorder = {
    api,
    tracer: (tracerProvider ?? api.trace).getTracer(name, version, scope),
    meters: metersOf(api, meterProvider),
    propagation: new Propagation(api, propagator),
    continueTrace: options.continueTrace ?? false,
  };
  const { depthOf = [] } = options;
  return (connection) =>
    new ConnectionTelemetry(recorder, connection, depthOf).middleware;
}
