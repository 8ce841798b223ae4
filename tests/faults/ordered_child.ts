// deno-lint-ignore-file no-top-level-await -- a process of its own
/** Handles the messages of an ordered queue, and asks a referee before each: `deno run ordered_child.ts WORK`. */

import { createConnection, Queue } from "@dashi/mq";
import type { Word } from "../support/referee.ts";
import { ORDERED_RUN, workOn } from "../support/ordered_work.ts";

/** The work of the process, as JSON. */
export interface OrderedWork {
  readonly url: string;
  readonly transport: string;
  readonly queue: string;
  readonly transportOptions: Readonly<Record<string, unknown>>;
  /** The port on which the referee listens. */
  readonly port: number;
}

const work: OrderedWork = JSON.parse(Deno.args[0] ?? "{}");
const { url, transport, queue, transportOptions, port } = work;
const socket = await Deno.connect({ hostname: "127.0.0.1", port });
const encoder = new TextEncoder();
const heard: (() => void)[] = [];

/** Says a word; resolves when it was heard. */
function say(word: Word): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  heard.push(resolve);
  send(encoder.encode(`${JSON.stringify(word)}\n`));
  return promise;
}

let sending = Promise.resolve();

function send(bytes: Uint8Array): void {
  sending = sending.then(async () => {
    for (let at = 0; at < bytes.length;) {
      at += await socket.write(bytes.subarray(at));
    }
  });
}

async function hear(): Promise<void> {
  for await (const bytes of socket.readable) {
    for (let i = 0; i < bytes.length; i++) heard.shift()?.();
  }
}

void hear();
const connection = createConnection(url, {
  transport,
  transportOptions,
  connectTimeout: 60_000, // on a machine that is busy
  onUnhandled: () => {},
});
const consumer = connection.consumer<[key: number, n: number]>(
  new Queue(queue, { ordered: true }),
);
await consumer.run(({ payload }) => workOn(payload, say), ORDERED_RUN);
