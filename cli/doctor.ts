import type { BrokerInfo, Capability } from "../mod.ts";
import type { Context } from "./context.ts";
import type { Column } from "./output.ts";
import { tellLeft } from "./own_queues.ts";

/** What is known of a broker. */
interface Line {
  readonly name: string;
  readonly value: string;
}

const COLUMNS: readonly Column<Line>[] = [
  { head: "WHAT", text: ({ name }) => name },
  { head: "", text: ({ value }) => value },
];

/** All capabilities, each once: the compiler misses none. */
const ALL: readonly Capability[] = Object.keys(
  {
    "cancel-delayed": true,
    "dead-letter": true,
    "dedupe": true,
    "delay": true,
    "exchange-to-exchange": true,
    "exchange-types": true,
    "exclusive": true,
    "inspect": true,
    "key-fairness": true,
    "key-order": true,
    "known-queues": true,
    "lease": true,
    "length-limit": true,
    "message-ttl": true,
    "persistence": true,
    "priority": true,
    "quarantine": true,
    "queue-ttl": true,
    "queued-fanout": true,
    "shared-rate": true,
    "shared-topology": true,
    "streams": true,
    "transaction": true,
    "wide-priority": true,
  } satisfies Readonly<Record<Capability, true>>,
) as Capability[];

const NOT_TOLD = "not told by this broker";

/**
 * Says what broker a URL leads to, and what it can.
 *
 * @param context The context.
 * @returns 0.
 */
export async function doctor(context: Context): Promise<number> {
  await examine(context);
  await tellLeft(context.terminal, context.connection);
  return 0;
}

async function examine({ output, connection }: Context): Promise<void> {
  const began = performance.now();
  await connection.connect();
  const ms = Math.round(performance.now() - began);
  const { transport, hostname, port, virtualHost, tls } = connection.info();
  const { capabilities } = connection;
  const server = await connection.inspect().server();
  const has = ALL.filter((each) => capabilities.has(each));
  const lacks = ALL.filter((each) => !capabilities.has(each));
  const facts = {
    url: connection.asUri(),
    transport,
    product: server.product,
    version: server.version,
    clockAheadInMs: server.clockAhead,
    clockErrorInMs: server.clockError,
    hostname,
    port,
    virtualHost,
    tls,
    connectedInMs: ms,
    capabilities: has,
    lacks,
  };
  if (!output.isTable) {
    await output.print([facts], []);
    return;
  }
  const { clockAheadInMs: _1, clockErrorInMs: _2, ...rest } = facts;
  const shown = {
    ...rest,
    product: server.product ?? NOT_TOLD,
    version: server.version ?? NOT_TOLD,
    clock: clockText(server),
  };
  const lines = Object.entries(shown).filter(([, value]) => value !== undefined)
    .map(([name, value]) => ({
      name: `${name}:`,
      value: Array.isArray(value) ? value.join(", ") : String(value),
    }));
  await output.print(lines, COLUMNS);
}

function clockText({ clockAhead, clockError }: BrokerInfo): string {
  if (clockAhead === undefined) return NOT_TOLD;
  const side = clockAhead < 0 ? "behind" : "ahead of";
  return `${
    Math.abs(clockAhead)
  } ms ${side} this machine's, give or take ${clockError} ms`;
}
