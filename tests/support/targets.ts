/** The brokers behind a network that tests of faults run on, all by their URLs. */

import { createConnection, TransportError } from "@dashi/mq";
import { apart, FAULTS } from "./apart.ts";

/** A transport, and its broker. */
export interface Target {
  readonly name: string;
  /** The broker's URL, complete; `undefined` where there is none. */
  readonly url: string | undefined;
  /** The broker's name, as in `DASHI_TEST_<NAME>_URL`. */
  readonly broker: string;
  /** The URL for this transport of another broker of the kind. */
  at(url: string): string;
  /** Why there is none. */
  readonly reason: string;
  /** The kind of connection that its client holds: a connection, which can be lost; a pool that dials by itself; or nothing, but a request at a time. */
  readonly holds: Holding;
}

type Holding = "connection" | "pool" | "nothing";

type TargetRow = readonly [
  transport: string,
  broker: string,
  holds: Holding,
  query?: string,
];

/** Which transport is tested on which of the runner's brokers. */
const ROWS: readonly TargetRow[] = [
  ["amqp", "AMQP", "connection"],
  ["amqp-client", "AMQP", "connection"],
  ["redis", "REDIS", "connection"],
  ["mongodb", "MONGODB", "connection"],
  // Messages of a poll that was cut off come again when their lease is over.
  ["sqs", "SQS", "nothing", "?visibility_timeout=2&wait_time_seconds=1"],
  ["beanstalk", "BEANSTALK", "connection"],
  ["couchdb", "COUCHDB", "nothing"],
  ["nats", "NATS", "connection", "?ack_wait=2"],
  // Who was killed is missed after two seconds.
  ["postgres", "POSTGRES", "connection", "?visibility_timeout=2"],
];

/** All transports whose broker is behind a network. */
export const TARGETS: readonly Target[] = targetsOf(ROWS);

function targetsOf(rows: readonly TargetRow[]): readonly Target[] {
  return rows.filter(([name]) => isKnown(name))
    .map(([name, broker, holds, query = ""]) => {
      const told = (what: string) =>
        Deno.env.get(`DASHI_TEST_${broker}_${what}`);
      const at = (url: string) =>
        createConnection(url, { transport: name })
          .asUri({ includePassword: true }) + query;
      return {
        name,
        broker,
        get url() {
          const given = told("URL");
          return given === undefined ? undefined : at(apart(given, FAULTS));
        },
        at,
        holds,
        get reason() {
          return told("REASON") ??
            "run it by deno task test, which provides the broker";
        },
      };
    });
}

/**
 * Which of them are tried by `deno task test`: all would take it over ten minutes.
 * `deno task faults` tries all.
 */
const QUICK: ReadonlySet<string> = new Set(["amqp", "redis"]);
export const ALL: boolean = Deno.env.get("DASHI_TEST_FAULTS") === "all";

/** Why a test is not run here. */
export const LATER = "run it by deno task faults";

/** Registers a test on each of them. */
export function onEach(
  name: string,
  run: (url: string, target: Target) => Promise<void>,
  needs?: readonly Holding[],
  why?: string,
  /** Why not on one of them. */
  unless?: (target: Target) => string | undefined,
): void {
  for (const target of TARGETS) {
    const { url, holds } = target;
    const reason = needs?.includes(holds) === false
      ? why ??
        `its client holds ${holds === "pool" ? "a pool" : "no connection"}`
      : url === undefined
      ? target.reason
      : unless?.(target) !== undefined
      ? unless(target)
      : !ALL && !QUICK.has(target.name)
      ? LATER
      : undefined;
    Deno.test({
      name: `${target.name}: ${name}${
        reason === undefined ? "" : ` (${reason})`
      }`,
      ignore: reason !== undefined,
      // A driver's own timers outlive a dial that was given up, for a while.
      sanitizeOps: holds === "connection",
      sanitizeResources: holds === "connection",
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
