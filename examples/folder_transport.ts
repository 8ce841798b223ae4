/**
 * A transport of your own, in one file: messages as files in a folder.
 *
 * `folder:///var/spool/orders` is a folder, which must be there. In it each queue is a
 * folder, and each message a file, `level.due.sequence.id.deliveries.until`: sorted as
 * text they are in order. To take one is to rename it, which one of several takers does
 * first; `until` is then when their lease ends. The library refuses every capability that
 * is not declared: `shared-topology` and its like, for each connection knows what it
 * declared itself; `persistence`, for files outlive processes, but not all a loss of power.
 */

import * as fs from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import * as mq from "@dashi/mq/store";

/** How long a message is out of sight if nobody renews its lease, ms; `transportOptions: { lease }` says otherwise. */
const LEASE = 30_000;

/** The longest pause between two looks into a folder, ms: what waiting costs. */
const MAX_PAUSE = 50;

/** For `createConnection("folder:///path", { transport: folderTransport })`. */
export const folderTransport: mq.Transport = mq.createStoreTransport({
  name: "folder",
  open: (url, { clock, transportOptions: { lease = LEASE } }) =>
    openStore(`/${url.virtualHost ?? ""}`, clock, Number(lease)),
});

async function openStore(
  root: string,
  clock: mq.Clock,
  lease: number,
): Promise<mq.Store> {
  const { promise: closed, resolve } = Promise.withResolvers<mq.CloseReason>();
  const writer = new mq.EnvelopeWriter();
  const held = new Map<mq.Reservation, File>();
  const maxPriorities = new Map<string, number>();
  let sequence = 0;
  let ended = false;
  let line: Promise<unknown> = Promise.resolve();

  /** Works when all that was asked for before is done. */
  function inTurn<T>(
    work: () => Promise<T>,
    { signal, deadline = Infinity }: mq.CallOptions = {},
  ): Promise<T> {
    const turn = line.then(() => {
      if (ended) throw new mq.ClosedError(`Cannot use "${root}": it is closed`);
      signal?.throwIfAborted();
      if (clock.now() <= deadline) return work();
      const text = `Cannot use "${root}": the disk was busy`;
      throw new mq.TimeoutError(text, { outcome: "not-sent" });
    }).catch((cause) => {
      if (cause instanceof mq.MessagingError) throw cause;
      if (signal?.aborted) throw signal.reason;
      const details = { code: "connection-lost", cause } as const;
      const text = `Cannot use "${root}": ${cause}`;
      const error = new mq.ConnectionError(text, details);
      ended = true;
      resolve({ type: "lost", error });
      throw error;
    });
    line = turn.catch(() => {}); // who asked for it is told
    return turn;
  }

  function path(queue: string, file?: File): string {
    // ".." is a queue's name too.
    const folder = encodeURIComponent(queue).replaceAll(".", "%2E");
    const name = file && `${file.place}.${file.deliveries}.${file.until}`;
    return `${root}/${folder}/${name ?? ""}`;
  }

  /** Lists the files of messages that may be taken, in order; `undefined` if there is no such queue. */
  async function ready(queue: string): Promise<readonly File[] | undefined> {
    const names = await fs.readdir(path(queue)).catch(gone);
    const now = clock.wall();
    return names?.sort().map(parse)
      .filter(({ due, until }) => due <= now && until <= now);
  }

  const count = async (queue: string) => (await ready(queue))?.length;
  const leased = (file: File) => ({ ...file, until: clock.wall() + lease });
  const freed = (file: File) => ({ ...file, until: 0 });
  const pad = (number: number) => String(number).padStart(15, "0");

  /** Under another name first: what is half written is no message. */
  async function write({ queue, message }: mq.StoreItem): Promise<void> {
    const id = crypto.randomUUID();
    const { priority = 0 } = message.properties;
    const level = 9 - Math.min(priority, maxPriorities.get(queue) ?? 9);
    const due = pad(clock.wall() + message.delay);
    const place = `${level}.${due}.${pad(sequence++)}.${id}`;
    const draft = `${path(queue)}draft-${id}`;
    await fs.mkdir(path(queue), { recursive: true });
    await fs.writeFile(draft, writer.write(message, id));
    await fs.rename(draft, `${path(queue)}${place}.0.0`);
  }

  async function take(queue: string, limit: number) {
    const files = await ready(queue);
    const taking = files?.slice(0, limit).map(async (file) => {
      const mine = leased(file.until > 0 ? returned(file) : file);
      if (!await move(queue, file, mine)) return []; // somebody was faster
      const body = await fs.readFile(path(queue, mine)).catch(gone);
      if (body === undefined) return []; // the queue was deleted
      const reservation: mq.Reservation = {
        queue,
        handle: mine.place,
        message: read(body),
        redelivered: mine.deliveries > 0,
        deliveryCount: mine.deliveries,
        expired: false,
      };
      held.set(reservation, mine);
      return [reservation];
    });
    return taking && (await Promise.all(taking)).flat();
  }

  /** Renames a file, or removes it; says whether it was there by that name. */
  async function move(queue: string, from: File, to?: File): Promise<boolean> {
    const old = path(queue, from);
    const moving = to ? fs.rename(old, path(queue, to)) : fs.unlink(old);
    return await moving.then(() => true, gone) ?? false;
  }

  /** Returns those that were no longer ours. */
  async function settle(all: readonly mq.Reservation[], next?: typeof leased) {
    const ours = await Promise.all(all.map(async (one) => {
      const file = held.get(one);
      held.delete(one);
      const to = file && next?.(file);
      const moved = file !== undefined && await move(one.queue, file, to);
      if (moved && to && to.until > 0) held.set(one, to);
      return moved;
    }));
    return all.filter((_, i) => !ours[i]);
  }

  await inTurn(() => fs.readdir(root));
  return {
    closed,
    limits: {
      itemBytes: Infinity,
      reserveCount: 100,
      reserveQueues: Infinity,
      reserveWait: 10_000,
      lease,
    },
    capabilities: new Set([
      "dead-letter",
      "delay",
      "exchange-to-exchange",
      "lease",
      "priority",
      "queued-fanout",
    ]),
    queues: {
      create: ({ name, arguments: { "x-max-priority": max = 9 } }, options) =>
        inTurn(async () => {
          maxPriorities.set(name, Number(max));
          await fs.mkdir(path(name), { recursive: true });
        }, options),
      delete: (name, options) =>
        inTurn(async () => {
          const messageCount = await count(name) ?? 0;
          await fs.rm(path(name), { recursive: true, force: true });
          return messageCount;
        }, options),
    },
    messages: {
      count: (queue, options) => inTurn(() => count(queue), options),
      purge: (queue, options) =>
        inTurn(async () => {
          const files = await ready(queue) ?? [];
          for (const file of files) await move(queue, file);
          return files.length;
        }, options),
      put: (items, { instead, ...limits } = {}) =>
        inTurn(async () => {
          const replaced = instead ? [instead] : [];
          if ((await settle(replaced, leased)).length) return { type: "lost" };
          for (const item of items) await write(item);
          // Last: what fails before leaves two copies, and never none.
          await settle(replaced);
          return { type: "put", displaced: [] };
        }, limits),
      async reserve(wants, { signal, wait, deadline }) {
        const until = clock.now() + wait;
        for (let pause = 1;; pause = Math.min(2 * pause, MAX_PAUSE)) {
          const reserved = await inTurn(async () => {
            const reservations: mq.Reservation[] = [];
            const missing: string[] = [];
            for (const { queue, limit } of wants) {
              const taken = await take(queue, limit);
              reservations.push(...taken ?? []);
              if (taken === undefined && wait > 0) missing.push(queue);
            }
            if (signal?.aborted) await settle(reservations, freed);
            return { reservations, missing };
          }, { signal, deadline });
          signal?.throwIfAborted();
          const { length } = [...reserved.reservations, ...reserved.missing];
          if (length > 0 || clock.now() >= until) return reserved;
          await sleep(pause, undefined, { signal }).catch(() => {}); // told above
        }
      },
      remove: (all, options) => inTurn(() => settle(all), options),
      release: (all, options) => inTurn(() => settle(all, returned), options),
      renew: (all, options) => inTurn(() => settle(all, leased), options),
    },
    async [Symbol.asyncDispose]() {
      await line;
      ended = true;
      resolve({ type: "closed" });
    },
  };
}

type File = ReturnType<typeof parse>;

/** A draft is never due. */
function parse(name: string) {
  const parts = name.split(".");
  const [due = NaN, , , deliveries = 0, until = 0] = parts.slice(1).map(Number);
  return { place: parts.slice(0, 4).join("."), due, deliveries, until };
}

function returned(file: File): File {
  return { ...file, deliveries: file.deliveries + 1, until: 0 };
}

function read(body: Uint8Array): mq.Reservation["message"] {
  try {
    return mq.readEnvelope(new TextDecoder().decode(body)).message;
  } catch (cause) {
    return { error: new mq.DecodeError("It is no envelope", { cause }), body };
  }
}

/** It is not there, or no longer: somebody was faster. */
function gone(error: { readonly code?: unknown }): undefined {
  if (error.code !== "ENOENT") throw error;
}
