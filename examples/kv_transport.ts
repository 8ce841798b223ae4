/// <reference lib="deno.unstable" />
/**
 * A transport for a database of your own, in one file: Deno KV, `deno run --unstable-kv`.
 *
 * `kv:///var/lib/orders.kv` is a file that all processes of a machine may share. A record
 * is an entry, its revision the number of its writes and Deno KV's versionstamp, which
 * `check()` compares. Each commit adds an entry to a log of changes, under its
 * versionstamp: reading on from the last one is how waiting consumers are told.
 * `persistence` is not declared: Deno does not say what a file outlives.
 */

import { setTimeout as sleep } from "node:timers/promises";
import * as mq from "@dashi/mq/records";

/** The largest value in bytes is 65,536, with what is around it. */
const MAX_RECORD = 64_000;

/** The maximum number of checks of one commit, and bytes of its values: Deno KV's limits are 100 and 819,200. */
const [MAX_CHECKS, MAX_COMMIT] = [100, 700_000];

/** The maximum number of keys of one `getMany`, and entries of one batch of a list: Deno KV's limits. */
const [MAX_KEYS, MAX_BATCH] = [10, 500];

/** How often a file that is locked is tried again, and the longest pause before that, ms. */
const [MAX_TRIES, MAX_PAUSE] = [500, 20];

/** How often the log is read while somebody waits, and how long its entries stay, ms. */
const [PAUSE, LOG_TIME] = [20, 60_000];

/** The first parts of keys. */
const [RECORD, LOG] = ["record", "log"];

/** A record, and how often it was written. */
type Stored = { readonly writes: number; readonly fields: mq.Fields };

/** An entry of the log: each record's id, the number of its writes, and whether it was removed. */
type Changes = readonly (readonly [id: string, writes: number, boolean])[];

/** For `createConnection("kv:///path", { transport: kvTransport })`. */
export const kvTransport: mq.Transport = mq.createRecordsTransport({
  name: "kv",
  open: async (url, { clock, transportOptions: { lease } }) => {
    const path = `/${url.virtualHost ?? ""}`;
    const kv = await unlocked(() => Deno.openKv(path)).catch((cause) => {
      throw failure(`open "${path}"`, "connection-failed", cause);
    });
    return openRecords(
      kv,
      clock,
      lease === undefined ? {} : {
        lease: Number(lease),
      },
    );
  },
});

function openRecords(
  kv: Deno.Kv,
  clock: mq.Clock,
  limits: { readonly lease?: number },
): mq.Records {
  const { promise: closed, resolve } = Promise.withResolvers<mq.CloseReason>();
  let stopWatch = () => {};
  let isEnded = false;

  /** Does something within a call's limits; every failure is a lost connection. */
  async function run<T>(
    { action, signal, deadline = Infinity }: mq.RecordsCall,
    work: () => Promise<T>,
  ): Promise<T> {
    if (isEnded) throw new mq.ClosedError(`Cannot ${action}: it is closed`);
    signal?.throwIfAborted();
    if (clock.now() > deadline) {
      const outcome = "not-sent";
      throw new mq.TimeoutError(`Cannot ${action} in time`, { outcome });
    }
    try {
      return await work();
    } catch (cause) {
      if (isEnded) throw new mq.ClosedError(`Cannot ${action}: it is closed`);
      const error = failure(action, "connection-lost", cause);
      end({ type: "lost", error });
      throw error;
    }
  }

  function end(reason: mq.CloseReason): void {
    if (isEnded) return;
    isEnded = true;
    stopWatch();
    kv.close();
    resolve(reason);
  }

  /** Commits drafts together; `undefined` if one of them, or more, has another revision. */
  async function commit(
    drafts: readonly mq.Draft[],
  ): Promise<readonly mq.Written[] | undefined> {
    const atomic = kv.atomic();
    const changes: Changes = drafts.map(({ id, revision, fields }) => {
      const key = [RECORD, id];
      const [writes = 0, versionstamp = null] = parse(revision);
      atomic.check({ key, versionstamp });
      if (fields === undefined) atomic.delete(key);
      else atomic.set(key, { writes: writes + 1, fields } satisfies Stored);
      return [id, writes + 1, fields === undefined];
    });
    atomic.set([LOG, kv.commitVersionstamp()], changes, { expireIn: LOG_TIME });
    const done = await unlocked(() => atomic.commit());
    if (!done.ok) return undefined;
    return changes.map(([, writes]) => ({
      type: "written",
      revision: format(writes, done.versionstamp),
    }));
  }

  /** Together, which costs one commit; where one has another revision, one by one. */
  async function write(
    drafts: readonly mq.Draft[],
  ): Promise<readonly mq.Written[]> {
    try {
      const together = await commit(drafts);
      if (together !== undefined) return together;
      if (drafts.length === 1) return [{ type: "conflict" }];
    } catch (error) {
      if (!isTooLarge(error)) throw error;
      if (drafts.length === 1) {
        return [{ type: "refused", error: tooLarge(error) }];
      }
    }
    return (await Promise.all(drafts.map((each) => write([each])))).flat();
  }

  return {
    closed,
    limits: {
      ...limits,
      recordBytes: MAX_RECORD,
      writeCount: MAX_CHECKS,
      writeBytes: MAX_COMMIT,
    },
    isPersistent: false,
    now: () => clock.wall(),
    list: ({ start, end, limit, withFields }, call) =>
      run(call, async () => {
        const rows: mq.Row[] = [];
        const range = { start: [RECORD, start], end: [RECORD, end] };
        const batchSize = Math.min(limit, MAX_BATCH);
        for await (
          const entry of kv.list<Stored>(range, { limit, batchSize })
        ) {
          rows.push(rowOf(entry, withFields));
        }
        return rows;
      }),
    read: (ids, call) =>
      run(call, async () => {
        const rows: mq.Row[] = [];
        for (let i = 0; i < ids.length; i += MAX_KEYS) {
          const keys = ids.slice(i, i + MAX_KEYS).map((id) => [RECORD, id]);
          for (const entry of await kv.getMany<Stored[]>(keys)) {
            if (entry.versionstamp !== null) rows.push(rowOf(entry, true));
          }
        }
        return rows;
      }),
    write: (drafts, call) => run(call, () => write(drafts)),
    watch: (onChange, call) =>
      run(call, async () => {
        let last = "";
        const newest = kv.list<Changes>({ prefix: [LOG] }, {
          limit: 1,
          reverse: true,
        });
        for await (const { versionstamp } of newest) last = versionstamp;
        const look = async () => {
          const start = [LOG, `${last}\0`];
          const newer = kv.list<Changes>({ prefix: [LOG], start });
          for await (const { versionstamp, value } of newer) {
            last = versionstamp;
            for (const [id, writes, isRemoved] of value) {
              onChange(id, format(writes, versionstamp), isRemoved);
            }
          }
        };
        const lookLater = () => {
          stopWatch = clock.timer(() => {
            void run(call, look).then(lookLater, () => {}); // `closed` tells
          }, PAUSE);
        };
        lookLater();
        return () => stopWatch();
      }),
    [Symbol.asyncDispose]() {
      end({ type: "closed" });
      return Promise.resolve();
    },
  };
}

function format(writes: number, versionstamp: string): string {
  return `${writes}-${versionstamp}`;
}

function parse(revision = ""): [writes?: number, versionstamp?: string] {
  const [writes, versionstamp] = revision.split("-");
  return versionstamp === undefined ? [] : [Number(writes), versionstamp];
}

function rowOf(
  { key, value, versionstamp }: Deno.KvEntry<Stored>,
  withFields: boolean,
): mq.Row {
  return {
    id: String(key[1]),
    revision: format(value.writes, versionstamp),
    fields: withFields ? value.fields : undefined,
  };
}

/** Tries again while another connection writes to the file. */
async function unlocked<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = MAX_TRIES;; tries--) {
    try {
      return await work();
    } catch (error) {
      if (tries === 0 || !/locked/.test(String(error))) throw error;
      await sleep(Math.random() * MAX_PAUSE);
    }
  }
}

function isTooLarge(error: unknown): error is TypeError {
  return error instanceof TypeError && /too large/i.test(error.message);
}

function tooLarge(cause: Error): mq.PublishError {
  const text = `Cannot write a record: ${cause.message}`;
  return new mq.PublishError(text, { code: "message-too-large", cause });
}

function failure(
  action: string,
  code: "connection-failed" | "connection-lost",
  cause: unknown,
): mq.ConnectionError {
  return new mq.ConnectionError(`Cannot ${action}: ${cause}`, { code, cause });
}
