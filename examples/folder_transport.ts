/**
 * A transport of your own, in one file: messages as files in a folder.
 *
 * `folder:///var/spool/orders` is a folder, which must be there. In it each queue is a
 * folder, and each message a file, whose name says all that happens to it:
 *
 * ```text
 * level.due.sequence.id.deliveries.0         ready, or delayed, in the order of its turn
 * level.due.sequence.id.deliveries.until     taken, leased until then
 * ```
 *
 * To take a message is to rename its file: one of several takers is the first. A lease
 * that is not renewed ends, and the message is taken again. What is not among the
 * capabilities the library refuses: `shared-topology` and its like, for each connection
 * knows what it declared itself; `message-ttl`; and `persistence`, for files outlive
 * processes, but not all of them a failure of power.
 *
 * @module
 */

import * as fs from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type CallOptions,
  ClosedError,
  type CloseReason,
  ConnectionError,
  type ConnectOptions,
  createStoreTransport,
  EnvelopeWriter,
  MessagingError,
  readEnvelope,
  type Reservation,
  type ReserveWant,
  type Store,
  type StoreItem,
  TimeoutError,
  Topology,
  type Transport,
} from "@dashi/mq/store";

/** How long a message is out of sight if nobody renews its lease, ms. */
const LEASE = 30_000;

/** The longest pause between two looks into a folder, ms: what waiting costs. */
const LONGEST_PAUSE = 50;

/** For `createConnection("folder:///path", { transport: folderTransport })`. */
export const folderTransport: Transport = createStoreTransport({
  name: "folder",
  open: (url, { clock }) => openStore(`/${url.virtualHost ?? ""}`, clock),
});

async function openStore(
  root: string,
  clock: ConnectOptions["clock"],
): Promise<Store> {
  await fs.readdir(root).catch((cause) => {
    throw new ConnectionError(
      `Cannot open folder "${root}": it cannot be read; make it first`,
      { code: "connection-failed", cause },
    );
  });
  const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
  const topology = new Topology();
  const writer = new EnvelopeWriter();
  /** What is taken, by the name that its file has now. */
  const held = new Map<Reservation, string>();
  let version = 0;
  let sequence = 0;
  let ended = false;
  let line: Promise<unknown> = Promise.resolve();

  /** Works when all that was asked for before is done. */
  function inTurn<T>(
    work: () => Promise<T>,
    { signal, deadline = Infinity }: CallOptions = {},
  ): Promise<T> {
    const turn = line.then(async () => {
      if (ended) throw new ClosedError(`Cannot use "${root}": it is closed`);
      signal?.throwIfAborted();
      if (clock.now() > deadline) {
        throw new TimeoutError(`Cannot use "${root}": the disk was busy`, {
          outcome: "not-sent",
        });
      }
      return await work();
    }).catch((cause) => {
      if (cause instanceof MessagingError || signal?.aborted) throw cause;
      const error = new ConnectionError(`Cannot use "${root}": ${cause}`, {
        code: "connection-lost",
        outcome: "unknown",
        cause,
      });
      ended = true;
      resolve({ type: "lost", error });
      throw error;
    });
    line = turn.catch(() => {}); // who asked for it is told
    return turn;
  }

  function path(queue: string, file = ""): string {
    // ".." is a queue's name too.
    const name = encodeURIComponent(queue).replaceAll(".", "%2E");
    return `${root}/${name}/${file}`;
  }

  async function list(queue: string): Promise<readonly File[] | undefined> {
    const names = await fs.readdir(path(queue)).catch(gone);
    return names?.sort().map(parse);
  }

  async function ready(queue: string): Promise<readonly File[]> {
    const now = clock.wall();
    const files = await list(queue) ?? [];
    return files.filter(({ due, until }) => due <= now && until <= now);
  }

  /** Under another name first: what is half written is no message. */
  async function write({ queue, message }: StoreItem): Promise<void> {
    const id = crypto.randomUUID();
    const level = 9 - (message.properties.priority ?? 0);
    const due = clock.wall() + message.delay;
    const place = `${level}.${pad(due)}.${pad(sequence++)}.${id}`;
    const draft = path(queue, `draft-${id}`);
    await fs.mkdir(path(queue), { recursive: true });
    await fs.writeFile(draft, writer.write(message, id));
    await fs.rename(draft, path(queue, `${place}.0.0`));
  }

  async function take({ queue, limit }: ReserveWant): Promise<Reservation[]> {
    const taken: Reservation[] = [];
    for (const { name, place, deliveries, until } of await ready(queue)) {
      if (taken.length >= limit) break;
      // After a lease that ended it may have been delivered.
      const deliveryCount = deliveries + (until > 0 ? 1 : 0);
      const mine = `${place}.${deliveryCount}.${clock.wall() + LEASE}`;
      const renaming = fs.rename(path(queue, name), path(queue, mine));
      if (!await renaming.then(() => true, gone)) continue;
      const reservation = {
        queue,
        handle: place,
        message: read(await fs.readFile(path(queue, mine))),
        redelivered: deliveryCount > 0,
        deliveryCount,
        expired: false,
      };
      held.set(reservation, mine);
      taken.push(reservation);
    }
    return taken;
  }

  /** Gives what is taken another name, or none, if it is still ours. */
  async function settle(
    one: Reservation,
    next?: (file: File) => string,
  ): Promise<boolean> {
    const name = held.get(one);
    if (name === undefined) return false;
    held.delete(one);
    const [from, to] = [path(one.queue, name), next?.(parse(name))];
    const settling = to === undefined
      ? fs.unlink(from)
      : fs.rename(from, path(one.queue, to));
    if (!await settling.then(() => true, gone)) return false;
    if (to !== undefined) held.set(one, to);
    return true;
  }

  const remove = (one: Reservation) => settle(one);
  const renew = (one: Reservation) =>
    settle(
      one,
      ({ place, deliveries }) =>
        `${place}.${deliveries}.${clock.wall() + LEASE}`,
    );
  const release = (one: Reservation) =>
    settle(one, ({ place, deliveries }) => `${place}.${deliveries + 1}.0`);

  /** Settles each, and says which were no longer ours. */
  function each(settle: (one: Reservation) => Promise<boolean>) {
    return (all: readonly Reservation[], options?: CallOptions) =>
      inTurn(async () => {
        const lost: Reservation[] = [];
        for (const one of all) if (!await settle(one)) lost.push(one);
        return lost;
      }, options);
  }

  return {
    closed,
    limits: {
      itemBytes: Infinity,
      reserveCount: 100,
      reserveQueues: Infinity,
      reserveWait: 10_000,
      lease: LEASE,
    },
    capabilities: new Set([
      "dead-letter",
      "delay",
      "exchange-to-exchange",
      "lease",
      "priority",
      "queued-fanout",
    ]),
    readTopology: () => Promise.resolve({ topology, version: String(version) }),
    applyChanges: (changes, planned, options) =>
      inTurn(async () => {
        if (planned !== String(version)) return { type: "stale" };
        for (const change of changes) {
          if (change.type !== "queue-deleted" || !change.ifEmpty) continue;
          const { length } = await ready(change.name);
          if (length > 0) return { type: "not-empty" };
        }
        for (const change of changes) topology.apply(change);
        version++;
        let messageCount = 0;
        for (const change of changes) {
          if (change.type === "queue-declared") {
            await fs.mkdir(path(change.queue.name), { recursive: true });
          } else if (change.type === "queue-deleted") {
            messageCount += (await ready(change.name)).length;
            await fs.rm(path(change.name), { recursive: true, force: true });
          }
        }
        return { type: "applied", messageCount };
      }, options),
    countMessages: (queue, options) =>
      inTurn(
        async () => await list(queue) && (await ready(queue)).length,
        options,
      ),
    purgeQueue: (queue, options) =>
      inTurn(async () => {
        const files = await ready(queue);
        for (const { name } of files) {
          await fs.rm(path(queue, name), { force: true });
        }
        return files.length;
      }, options),
    put: (items, { version: routed, instead, ...limits } = {}) =>
      inTurn(async () => {
        if ((routed ?? String(version)) !== String(version)) {
          return { type: "stale" };
        }
        if (instead && !await renew(instead)) return { type: "lost" };
        for (const item of items) await write(item);
        // Last: what fails before leaves two copies, and never none.
        if (instead) await remove(instead);
        return { type: "put", displaced: [] };
      }, limits),
    async reserve(wants, options) {
      const { signal, wait } = options;
      const until = clock.now() + wait;
      for (let pause = 1;; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
        const reserved = await inTurn(async () => {
          const reservations: Reservation[] = [];
          const missing: string[] = [];
          for (const want of wants) {
            reservations.push(...await take(want));
            if (wait > 0 && await list(want.queue) === undefined) {
              missing.push(want.queue);
            }
          }
          if (signal?.aborted) {
            for (const one of reservations) await release(one);
          }
          return { reservations, missing };
        }, options);
        signal?.throwIfAborted();
        const { length } = [...reserved.reservations, ...reserved.missing];
        if (length > 0 || clock.now() >= until) return reserved;
        await sleep(pause, undefined, { signal }).catch(() => {}); // told above
      }
    },
    remove: each(remove),
    release: each(release),
    renew: each(renew),
    async [Symbol.asyncDispose]() {
      await line;
      ended = true;
      resolve({ type: "closed" });
    },
  };
}

interface File {
  readonly name: string;
  readonly place: string;
  readonly due: number;
  readonly deliveries: number;
  readonly until: number;
}

/** A draft is never due. */
function parse(name: string): File {
  const parts = name.split(".");
  const [due = NaN, , , deliveries = 0, until = 0] = parts.slice(1).map(Number);
  return { name, place: parts.slice(0, 4).join("."), due, deliveries, until };
}

function pad(number: number): string {
  return String(number).padStart(15, "0");
}

function read(body: Uint8Array): Reservation["message"] {
  try {
    return readEnvelope(new TextDecoder().decode(body)).message;
  } catch (error) {
    if (error instanceof Error) return { error, body };
    throw error;
  }
}

/** What was to be there is not: somebody else was faster. */
function gone(error: unknown): undefined {
  if (error instanceof Error && "code" in error && error.code === "ENOENT") {
    return undefined;
  }
  throw error;
}
