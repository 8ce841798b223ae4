/** How to start such a process. */
export interface JsonProcessSettings {
  /** The path of the program, and of the configuration that it is run with. */
  readonly program: string;
  readonly config: string;
  /** The work that it is given, as its argument. */
  readonly order: unknown;
}

/** A process of ours that says what it does, a line of JSON each, and may be killed. */
export class JsonProcess<T> implements AsyncDisposable {
  /** All that it said so far. */
  readonly lines: T[] = [];
  protected readonly child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #onLine: ((line: T) => void) | undefined;
  readonly #waiting = new Set<() => void>();
  #ended = false;

  /** Starts it; `onLine` hears all that it says. */
  constructor(
    { program, config, order }: JsonProcessSettings,
    onLine?: (line: T) => void,
  ) {
    this.#onLine = onLine;
    const flags = ["run", "-A", "--no-check", "--config", config];
    this.child = new Deno.Command(Deno.execPath(), {
      args: [...flags, program, JSON.stringify(order)],
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    this.#reading = this.#read();
  }

  /** Waits until something is in what it has said. */
  async find<R>(look: (lines: readonly T[]) => R | undefined): Promise<R> {
    for (;;) {
      const found = look(this.lines);
      if (found !== undefined) return found;
      if (this.#ended) throw new Error("The process has ended");
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  /** Waits until it has ended by itself; `false` if it did not end well. */
  async end(): Promise<boolean> {
    const { success } = await this.child.status;
    await this.#reading;
    return success;
  }

  /** Ends it as a crash would, and reads what it had said. */
  async kill(): Promise<void> {
    this.#ended = true;
    try {
      this.child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.child.stdin.close().catch(() => {});
    await this.end();
  }

  /** The same. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this.child.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true }))
        .split("\n");
      rest = lines.pop() ?? "";
      for (const text of lines) {
        const line: T = JSON.parse(text);
        this.lines.push(line);
        this.#onLine?.(line);
      }
      this.#wake();
    }
    this.#ended = true;
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
