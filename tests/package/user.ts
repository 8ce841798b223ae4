/** A user of the package: an empty folder, and what he installs into it. */

import manifest from "../../deno.json" with { type: "json" };
import { npmInstall } from "../runtimes/npm.ts";

/** A way to use the package: what it is, and what went wrong with it, if anything. */
export type Outcome = readonly [title: string, problem: string | undefined];

/** A package that this project pins. */
export type Pinned = keyof typeof manifest.imports;

/**
 * Makes the folder of a user.
 *
 * @param folder The folder, which is not there yet.
 * @param packages What he installs: tarballs, and packages with their versions.
 * @returns Resolves when all are there.
 */
export async function install(
  folder: string,
  ...packages: readonly string[]
): Promise<void> {
  await Deno.mkdir(folder);
  await Deno.writeTextFile(`${folder}/package.json`, '{"type":"module"}');
  await npmInstall(folder, packages);
}

/** Names packages as npm wants them, in the versions that this project pins. */
export function pinned(...names: readonly Pinned[]): readonly string[] {
  return names.map((name) => manifest.imports[name].slice("npm:".length));
}

/** The packages that the library uses where they are there: its clients and codecs, and for telemetry the SDK. */
export const PEERS: readonly Pinned[] = [
  "@aws-sdk/client-sns",
  "@aws-sdk/client-sqs",
  "@cloudamqp/amqp-client",
  "@msgpack/msgpack",
  "@nats-io/transport-node",
  "@opentelemetry/api",
  "@opentelemetry/context-async-hooks",
  "@opentelemetry/core",
  "@opentelemetry/sdk-metrics",
  "@opentelemetry/sdk-trace",
  "amqplib",
  "croner",
  "ioredis",
  "js-yaml",
  "mongodb",
  "pg",
];
