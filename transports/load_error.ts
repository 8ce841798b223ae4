import { cannotImport } from "../model/dependency.ts";
import type { TransportError } from "../model/errors.ts";

/** The npm packages of those that need one. */
const CLIENTS: ReadonlyMap<string, readonly string[]> = new Map([
  ["amqp", ["amqplib"]],
  ["amqp_client", ["@cloudamqp/amqp-client"]],
  ["redis", ["ioredis"]],
  ["mongodb", ["mongodb"]],
  ["nats", ["@nats-io/transport-node"]],
  ["postgres", ["pg"]],
  ["sqs", ["@aws-sdk/client-sqs", "@aws-sdk/client-sns"]],
]);

/**
 * Makes the error of a transport whose module or client cannot be imported.
 *
 * @param transport The transport's name.
 * @param cause Why not.
 * @returns The error; it names what is missing, and how to have it.
 */
export function cannotLoad(transport: string, cause: unknown): TransportError {
  return cannotImport(
    `load the transport "${transport}"`,
    CLIENTS.get(transport) ?? [],
    cause,
  );
}
