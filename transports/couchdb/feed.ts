import type { CouchdbClient } from "./client.ts";

/** Called for each change: a document was written, or removed. Must not throw. */
export type OnChange = (id: string, rev: string, deleted: boolean) => void;

/** The database's feed of changes: one request that goes on, while somebody waits for messages. */
export class Feed {
  readonly #client: CouchdbClient;
  readonly #heartbeat: number;
  readonly #onChange: OnChange;
  #starting: Promise<void> | undefined;
  #abort: AbortController | undefined;

  /** Makes one that does not listen yet; the server gives a sign of life every `heartbeat` ms. */
  constructor(client: CouchdbClient, heartbeat: number, onChange: OnChange) {
    this.#client = client;
    this.#heartbeat = heartbeat > 0 ? heartbeat : 30_000;
    this.#onChange = onChange;
  }

  /** Whether all that changes is heard of, sooner or later. */
  get running(): boolean {
    return this.#abort !== undefined;
  }

  /** Listens: whatever changes after this has resolved is heard of. */
  start(): Promise<void> {
    if (this.#abort !== undefined) return Promise.resolve();
    return this.#starting ??= this.#start()
      .finally(() => this.#starting = undefined);
  }

  /** Listens no more. */
  stop(): void {
    this.#abort?.abort();
    this.#abort = undefined;
  }

  async #start(): Promise<void> {
    const { body } = await this.#client.call(
      "look where the changes are",
      { method: "GET", path: "" },
    );
    // A number, or a text that only the server understands.
    const { update_seq: since } = Object(body);
    const path = `/_changes?feed=continuous&heartbeat=${
      Math.round(this.#heartbeat)
    }&since=${encodeURIComponent(since)}`;
    this.#abort = new AbortController();
    void this.#client.follow(path, this.#abort.signal, (line) => {
      if (line !== "") this.#read(line);
    });
  }

  #read(line: string): void {
    let change: unknown;
    try {
      change = JSON.parse(line);
    } catch {
      return; // not of the feed: whatever is behind it, the sweep finds
    }
    const { id, changes, deleted } = Object(change);
    const rev: unknown = changes?.[0]?.rev;
    if (typeof id === "string" && typeof rev === "string") {
      this.#onChange(id, rev, deleted === true);
    }
  }
}
