import { atNextTurn } from "../../async/turn.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { CouchdbClient } from "./client.ts";
import { readRefusal, type Refusal } from "./errors.ts";

/** What became of a write: its new revision, or why not. A conflict is no error: somebody was faster. */
export type Written =
  | { readonly type: "written"; readonly rev: string }
  | { readonly type: "conflict" }
  | { readonly type: "refused"; readonly refusal: Refusal };

/** A document to be written. */
export type Draft = Readonly<Record<string, unknown>> & {
  readonly _id: string;
};

/** The most documents, and characters, of one request. */
const MAX = 1000;
const MAX_TEXT = 8_000_000;

/** Requests under way at once: one is on its way while the server works on the other. */
const AT_ONCE = 2;

interface Waiting {
  readonly id: string;
  readonly text: string;
  readonly resolve: (written: Written) => void;
  readonly reject: (error: unknown) => void;
  /** Stops watching its limits. */
  unwatch: (() => void) | undefined;
}

/** Writes documents: what is asked for in one turn, or while the server is busy, leaves as one request. */
export class Writes {
  readonly #client: CouchdbClient;
  /** In order; each leaves when it is sent, or when nobody waits for it any more. */
  readonly #waiting = new Set<Waiting>();
  #scheduled = false;
  #underWay = 0;

  /** Makes one over a client. */
  constructor(client: CouchdbClient) {
    this.#client = client;
  }

  /**
   * Writes a document.
   *
   * @throws {TimeoutError} If the deadline is missed; its `outcome` says whether the document had left.
   */
  write(doc: Draft, options?: CallOptions): Promise<Written> {
    return new Promise((resolve, reject) => {
      const text = JSON.stringify(doc);
      const waiting: Waiting = {
        id: doc._id,
        text,
        resolve,
        reject,
        unwatch: undefined,
      };
      if (options?.deadline !== undefined || options?.signal !== undefined) {
        waiting.unwatch = this.#client.limits.watch(options, (stopped) => {
          const sent = !this.#waiting.delete(waiting);
          reject(stopped === undefined ? lateError(sent) : stopped.aborted);
        });
      }
      this.#waiting.add(waiting);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#scheduled || this.#underWay >= AT_ONCE) return;
    this.#scheduled = true;
    atNextTurn(() => {
      this.#scheduled = false;
      this.#flush();
    });
  }

  #flush(): void {
    while (this.#waiting.size > 0 && this.#underWay < AT_ONCE) {
      this.#underWay++;
      this.#send(this.#take()).finally(() => {
        this.#underWay--;
        if (this.#waiting.size > 0) this.#schedule();
      });
    }
  }

  #take(): readonly Waiting[] {
    const batch: Waiting[] = [];
    let size = 0;
    // Of two writes of one document the second waits, as if they came in turn.
    const ids = new Set<string>();
    for (const waiting of this.#waiting) {
      const { id, text } = waiting;
      size += text.length;
      const count = batch.length;
      if (count === MAX || (size > MAX_TEXT && count > 0)) break;
      if (ids.size === ids.add(id).size) break;
      this.#waiting.delete(waiting);
      batch.push(waiting);
    }
    return batch;
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    try {
      const { body } = await this.#client.call("write documents", {
        method: "POST",
        path: "/_bulk_docs",
        body: `{"docs":[${batch.map(({ text }) => text).join(",")}]}`,
      });
      const results: readonly unknown[] = Array.isArray(body) ? body : [];
      for (const [i, { resolve, unwatch }] of batch.entries()) {
        unwatch?.();
        resolve(writtenOf(results[i]));
      }
    } catch (error) {
      for (const { reject, unwatch } of batch) {
        unwatch?.();
        reject(error);
      }
    }
  }
}

function lateError(sent: boolean): TimeoutError {
  return sent
    ? new TimeoutError(
      "Cannot write a document: CouchDB did not answer in time",
      { outcome: "unknown" },
    )
    : new TimeoutError(
      "Cannot write a document in time: those before it have not been answered",
      { outcome: "not-sent" },
    );
}

function writtenOf(result: unknown): Written {
  if (typeof result === "object" && result !== null) {
    if ("rev" in result && typeof result.rev === "string") {
      return { type: "written", rev: result.rev };
    }
    if ("error" in result && result.error === "conflict") {
      return { type: "conflict" };
    }
  }
  const refusal = readRefusal(500, result);
  const status = STATUS[refusal.error];
  return {
    type: "refused",
    refusal: status === undefined ? refusal : { ...refusal, status },
  };
}

/** CouchDB's words for one document of many, as statuses. */
const STATUS: Readonly<Record<string, number>> = {
  forbidden: 403,
  unauthorized: 403,
  document_too_large: 413,
  doc_validation: 400,
  bad_request: 400,
};
