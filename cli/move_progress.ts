import type { Bar, Terminal } from "./terminal.ts";

/** How often a bar is drawn, and a line is written, ms. */
const [DRAWN, WRITTEN] = [100, 1000];

/** The numbers that are shown. */
export interface ProgressOptions {
  readonly label: string;
  /** How many there are, where it is known. */
  readonly total: number | undefined;
  /** How many are moved. */
  moved(): number;
  /** Writes a line of how far it is, where there is no bar. Rejects when nobody reads it. */
  print(): Promise<void>;
}

/** Shows how far a move is: by a bar on a terminal, else by a line each second. */
export class Progress implements AsyncDisposable {
  readonly #options: ProgressOptions;
  readonly #bar: Promise<Bar | undefined>;
  readonly #timer: ReturnType<typeof setInterval>;
  #drawing: Bar | undefined;
  #writing: Promise<void> | undefined;

  /** Makes one, which shows something from now on. */
  constructor(terminal: Terminal, options: ProgressOptions) {
    this.#options = options;
    const { label, total } = options;
    const bar = terminal.bar?.(label, total);
    this.#bar = Promise.resolve(bar).then((bar) => this.#drawing = bar);
    this.#timer = setInterval(
      () => this.#show(),
      bar === undefined ? WRITTEN : DRAWN,
    );
  }

  #show(): void {
    if (this.#drawing !== undefined) {
      return this.#drawing.set(this.#options.moved());
    }
    this.#writing ??= this.#options.print()
      .catch(() => {}) // nobody reads it: it is moved all the same
      .finally(() => this.#writing = undefined);
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const bar = await this.#bar;
    bar?.set(this.#options.moved());
    bar?.stop();
    await this.#writing;
  }
}
