import { jsonOf } from "../output.ts";
import type { Change, Row, WatchedBroker } from "./broker.ts";
import type { Sink } from "./server_client.ts";

/** So much of each queue's past is shown in its row. */
const SPARK = 60;
/** So many rows are told by one event: a page reads thousands in more than one task, between which it answers. */
const ROWS = 500;
/** A broker whose listing takes long is left alone for so many times that long. */
const REST = 4;

/** Tells all pages what changes. */
export class Live {
  readonly #brokers: readonly WatchedBroker[];
  readonly #interval: number;
  readonly #pages = new Set<Page>();
  readonly #stop = new AbortController();

  /** Makes one that looks at each broker every `interval` milliseconds. */
  constructor(brokers: readonly WatchedBroker[], interval: number) {
    this.#brokers = brokers;
    this.#interval = interval;
  }

  /** Looks at all brokers until it is stopped, each at its own pace: one that is slow does not keep the others. */
  async run(): Promise<void> {
    await Promise.all(this.#brokers.map((each) => this.#watch(each)));
  }

  /** Ends `run`. */
  stop(): void {
    this.#stop.abort();
  }

  /** Tells somebody all that is known, and from then on what changes. Returns what ends it. */
  tell(sink: Sink): () => void {
    const page = { sink, isBehind: false, hasMissed: false };
    this.#pages.add(page);
    this.#sendAll(page);
    return () => void this.#pages.delete(page);
  }

  /** Looks at a broker at once, as after something was done to a queue of it. */
  async refresh(broker: WatchedBroker): Promise<void> {
    this.#sendChange(await broker.look());
  }

  async #watch(broker: WatchedBroker): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const began = performance.now();
      await this.refresh(broker);
      const took = performance.now() - began;
      // One that did not answer has had no work with it, and may answer by now.
      const rest = broker.state.state === "up" ? took * REST : 0;
      await pause(Math.max(this.#interval - took, rest, 100), signal);
    }
  }

  #sendChange(change: Change): void {
    const { rows, broker: { id } } = change;
    const parts = partsOf(rows);
    const last = parts.pop() ?? [];
    const text = tellRows(id, parts) +
      eventOf("change", { ...change, rows: last });
    for (const page of this.#pages) {
      if (page.isBehind) page.hasMissed = true;
      else if (!page.sink.send(text)) this.#wait(page);
    }
  }

  #sendAll(page: Page): void {
    const brokers = this.#brokers.map(({ state }) => state);
    const all = { interval: this.#interval, brokers };
    const texts = [eventOf("all", all)];
    for (const each of this.#brokers) {
      const rows = Array.from(each.rows, (row) => ({
        ...row,
        spark: each.past(row.name, SPARK)?.ready,
      }));
      texts.push(tellRows(each.state.id, partsOf(rows)));
    }
    texts.push(eventOf("listed", {}));
    if (!page.sink.send(texts.join(""))) this.#wait(page);
  }

  /** A page that does not keep up gets no changes meanwhile, and then all that is. */
  #wait(page: Page): void {
    page.isBehind = true;
    page.sink.onDrain(() => {
      const { hasMissed } = page;
      page.isBehind = page.hasMissed = false;
      if (hasMissed && this.#pages.has(page)) this.#sendAll(page);
    });
  }
}

interface Page {
  readonly sink: Sink;
  /** Whether it has not taken all that was sent. */
  isBehind: boolean;
  /** Whether something has changed since it is behind. */
  hasMissed: boolean;
}

function partsOf<R extends Row>(rows: readonly R[]): (readonly R[])[] {
  return Array.from(
    { length: Math.ceil(rows.length / ROWS) },
    (_, i) => rows.slice(i * ROWS, (i + 1) * ROWS),
  );
}

function tellRows(broker: number, parts: readonly (readonly Row[])[]): string {
  return parts.map((rows) => eventOf("rows", { broker, rows })).join("");
}

function eventOf(name: string, value: unknown): string {
  return `event: ${name}\ndata: ${jsonOf(value)}\n\n`;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", end);
      resolve();
    }, milliseconds);
    signal.addEventListener("abort", end, { once: true });
  });
}
