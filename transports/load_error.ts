import { TransportError } from "../model/errors.ts";

/** The npm packages of those that need one. */
const CLIENTS: ReadonlyMap<string, string> = new Map([
  ["amqp", "amqplib"],
  ["amqp_client", "@cloudamqp/amqp-client"],
  ["redis", "ioredis"],
  ["mongodb", "mongodb"],
  ["sqs", "@aws-sdk/client-sqs @aws-sdk/client-sns"],
]);

/**
 * Makes the error of a transport whose module cannot be imported.
 *
 * @param transport The transport's name.
 * @param cause Why not.
 * @returns The error; it names what is missing, and how to have it.
 */
export function cannotLoad(transport: string, cause: unknown): TransportError {
  return new TransportError(
    `Cannot load the transport "${transport}": its module or its client cannot be imported; ${
      remedy(transport, cause)
    }`,
    { code: "dependency-missing", cause },
  );
}

function remedy(transport: string, cause: unknown): string {
  const message = cause instanceof Error ? cause.message : "";
  if (cause instanceof Error && cause.name === "NotCapable") return message;
  const client = CLIENTS.get(transport);
  if (message.includes("Dynamic require of")) {
    return `a bundle cannot hold ${
      client ?? "all of it"
    }: leave npm packages out of it (esbuild: "--packages=external"), and install them where it runs`;
  }
  return client === undefined
    ? message
    : `install the client: "npm install ${client}", or "deno add ${
      client.split(" ").map((name) => `npm:${name}`).join(" ")
    }"`;
}
