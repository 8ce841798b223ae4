import { atNextTurn } from "../../async/turn.ts";
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
const MOST = 1000;
const MOST_TEXT = 8_000_000;

/** Requests under way at once: one is on its way while the server works on the other. */
const AT_ONCE = 2;

interface Waiting {
  readonly id: string;
  readonly text: string;
  readonly resolve: (written: Written) => void;
  readonly reject: (error: unknown) => void;
}

/** Writes documents: what is asked for in one turn, or while the server is busy, leaves as one request. */
export class Writes {
  readonly #client: CouchdbClient;
  #waiting: Waiting[] = [];
  #scheduled = false;
  #underWay = 0;

  /** Makes one over a client. */
  constructor(client: CouchdbClient) {
    this.#client = client;
  }

  /** Writes a document. */
  write(doc: Draft): Promise<Written> {
    return new Promise((resolve, reject) => {
      const text = JSON.stringify(doc);
      this.#waiting.push({ id: doc._id, text, resolve, reject });
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
    while (this.#waiting.length > 0 && this.#underWay < AT_ONCE) {
      this.#underWay++;
      this.#send(this.#take()).finally(() => {
        this.#underWay--;
        if (this.#waiting.length > 0) this.#schedule();
      });
    }
  }

  #take(): readonly Waiting[] {
    let [count, size] = [0, 0];
    // Of two writes of one document the second waits, as if they came in turn.
    const ids = new Set<string>();
    for (const { id, text } of this.#waiting) {
      size += text.length;
      if (count === MOST || (size > MOST_TEXT && count > 0)) break;
      if (ids.size === ids.add(id).size) break;
      count++;
    }
    if (count === this.#waiting.length) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    return this.#waiting.splice(0, count);
  }

  async #send(batch: readonly Waiting[]): Promise<void> {
    try {
      const { body } = await this.#client.call("write documents", {
        method: "POST",
        path: "/_bulk_docs",
        body: `{"docs":[${batch.map(({ text }) => text).join(",")}]}`,
      });
      const results: readonly unknown[] = Array.isArray(body) ? body : [];
      for (const [i, { resolve }] of batch.entries()) {
        resolve(writtenOf(results[i]));
      }
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }
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
