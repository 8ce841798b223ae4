import { atNextTurn } from "../../async/turn.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Draft, Records, Written } from "./records.ts";

/** Defaults of what one call of `write` takes: records, bytes, and calls under way. */
const [WRITE_COUNT, WRITE_BYTES, WRITES_AT_ONCE] = [1000, 8_000_000, 2];

/** Bytes of a record besides its texts, about. */
const OVERHEAD = 200;

interface Pending {
  readonly draft: Draft;
  readonly resolve: (written: Written) => void;
  readonly reject: (error: unknown) => void;
  /** Stops watching its limits. */
  unwatch: (() => void) | undefined;
}

/** Writes records: what is asked for in one turn, or while the database is busy, leaves as one call. */
export class WriteBatcher {
  readonly #records: Records;
  readonly #limits: Limits;
  readonly #count: number;
  readonly #bytes: number;
  readonly #atOnce: number;
  /** In order; each leaves when it is sent, or when nobody waits for it any more. */
  readonly #pending = new Set<Pending>();
  #isScheduled = false;
  #underWay = 0;

  /** Makes one over a database; `limits` watches the calls. */
  constructor(records: Records, limits: Limits) {
    const { writeCount, writeBytes, writesAtOnce } = records.limits;
    this.#records = records;
    this.#limits = limits;
    this.#count = writeCount ?? WRITE_COUNT;
    this.#bytes = writeBytes ?? WRITE_BYTES;
    this.#atOnce = writesAtOnce ?? WRITES_AT_ONCE;
  }

  /**
   * Writes a record.
   *
   * @throws {TimeoutError} If the deadline is missed; its `outcome` says whether the record had left.
   */
  write(draft: Draft, options?: CallOptions): Promise<Written> {
    const refusal = this.#limits.refusal(options, draft.action);
    if (refusal !== undefined) return Promise.reject(refusal);
    return new Promise((resolve, reject) => {
      const pending: Pending = { draft, resolve, reject, unwatch: undefined };
      if (options?.deadline !== undefined || options?.signal !== undefined) {
        pending.unwatch = this.#limits.watch(options, (stopped) => {
          const isSent = !this.#pending.delete(pending);
          reject(
            stopped === undefined
              ? lateError(draft.action, isSent)
              : stopped.aborted,
          );
        });
      }
      this.#pending.add(pending);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#underWay >= this.#atOnce) return;
    this.#isScheduled = true;
    atNextTurn(() => {
      this.#isScheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#pending.size > 0 && this.#underWay < this.#atOnce) {
      this.#underWay++;
      this.#send(this.#takeBatch()).finally(() => {
        this.#underWay--;
        if (this.#pending.size > 0) this.#schedule();
      });
    }
  }

  #takeBatch(): readonly Pending[] {
    const batch: Pending[] = [];
    let bytes = 0;
    // Of two writes of one record the second waits, as if they came in turn.
    const ids = new Set<string>();
    for (const pending of this.#pending) {
      bytes += bytesOf(pending.draft);
      const { length } = batch;
      if (length === this.#count || (bytes > this.#bytes && length > 0)) break;
      if (ids.size === ids.add(pending.draft.id).size) break;
      this.#pending.delete(pending);
      batch.push(pending);
    }
    return batch;
  }

  async #send(batch: readonly Pending[]): Promise<void> {
    try {
      const drafts = batch.map(({ draft }) => draft);
      const action = "write records";
      const written = await this.#records.write(drafts, { action });
      for (const [i, { draft, resolve, reject, unwatch }] of batch.entries()) {
        unwatch?.();
        const result = written[i];
        if (result !== undefined) resolve(result);
        else reject(new Error(`"${draft.id}" was written with no result`));
      }
    } catch (error) {
      for (const { reject, unwatch } of batch) {
        unwatch?.();
        reject(error);
      }
    }
  }
}

/** The size of a record, about: exact where it matters, for its long texts. */
function bytesOf({ id, fields }: Draft): number {
  let bytes = id.length + OVERHEAD;
  for (const name in fields) {
    const value = fields[name];
    if (typeof value === "string") bytes += value.length;
  }
  return bytes;
}

function lateError(action: string, isSent: boolean): TimeoutError {
  return isSent
    ? new TimeoutError(
      `Cannot ${action}: the database did not answer in time`,
      { outcome: "unknown" },
    )
    : new TimeoutError(
      `Cannot ${action} in time: the writes before it have not been answered`,
      { outcome: "not-sent" },
    );
}
