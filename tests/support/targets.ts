/** The brokers behind a network that tests of faults run on, all by their URLs. */

import { createConnection, TransportError } from "@dashi/mq";

/** A transport, and its broker. */
export interface Target {
  readonly name: string;
  /** The broker's URL, complete; `undefined` where there is none. */
  readonly url: string | undefined;
  /** Why there is none. */
  readonly reason: string;
}

/** Which transport is tested on which of the runner's brokers. */
const ROWS: readonly (readonly [transport: string, broker: string])[] = [
  ["amqp", "AMQP"],
  ["amqp-client", "AMQP"],
  ["redis", "REDIS"],
  ["mongodb", "MONGODB"],
  ["sqs", "SQS"],
  ["beanstalk", "BEANSTALK"],
  ["couchdb", "COUCHDB"],
];

/** All transports that there are. */
export const TARGETS: readonly Target[] = ROWS.filter(([name]) => isKnown(name))
  .map(([name, broker]) => {
    const given = Deno.env.get(`DASHI_TEST_${broker}_URL`);
    return {
      name,
      url: given === undefined
        ? undefined
        : createConnection(given, { transport: name })
          .asUri({ includePassword: true }),
      reason: Deno.env.get(`DASHI_TEST_${broker}_REASON`) ??
        "run it by deno task test, which provides the broker",
    };
  });

/** Registers a test on each of them. */
export function onEach(
  name: string,
  run: (url: string, target: Target) => Promise<void>,
): void {
  for (const target of TARGETS) {
    const { url, reason } = target;
    Deno.test({
      name: `${target.name}: ${name}${url === undefined ? ` (${reason})` : ""}`,
      ignore: url === undefined,
      fn: () => run(url ?? "", target),
    });
  }
}

function isKnown(transport: string): boolean {
  try {
    createConnection(`${transport}://`);
    return true;
  } catch (error) {
    if (error instanceof TransportError) return false;
    throw error;
  }
}
