import type { OnChange, Records } from "./records.ts";

/** Listens to changes, while a call waits for messages. */
export class Feed {
  readonly #records: Records;
  readonly #onChange: OnChange;
  #starting: Promise<void> | undefined;
  #stop: (() => void) | undefined;
  #isClosed = false;

  /** Makes one that does not listen yet. */
  constructor(records: Records, onChange: OnChange) {
    this.#records = records;
    this.#onChange = onChange;
  }

  /** Whether every change is reported, sooner or later. */
  get isRunning(): boolean {
    return this.#stop !== undefined;
  }

  /** Listens, where the database can tell: every change after this has resolved is reported. */
  start(): Promise<void> {
    if (this.#stop !== undefined) return Promise.resolve();
    return this.#starting ??= this.#start()
      .finally(() => this.#starting = undefined);
  }

  /** Listens no more. */
  stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Listens no more, nor when it is still about to. */
  close(): void {
    this.#isClosed = true;
    this.stop();
  }

  async #start(): Promise<void> {
    const call = { action: "listen to changes" };
    this.#stop = await this.#records.watch?.(this.#onChange, call);
    if (this.#isClosed) this.stop();
  }
}
