/** The world that the command line runs in. */
export interface Terminal {
  /** What stands behind the program's name. */
  readonly args: readonly string[];
  /** The width of the terminal that the output goes to, in characters; 0 if that does not tell, as by `docker exec -t` at times; `undefined` if it goes to a file or a pipe. */
  readonly columns: number | undefined;
  /** Whether something is piped in. */
  readonly isPiped: boolean;
  /** Reads an environment variable. */
  variable(name: string): string | undefined;
  /** Writes to the output. Resolves when it takes more; rejects with {@linkcode OutputClosed} when nobody reads on. */
  write(text: string): Promise<void>;
  /** Writes a line to the errors' output. */
  tell(line: string): void;
  /** Reads a file. */
  read(path: string): Promise<Uint8Array>;
  /** Imports a module of JavaScript or TypeScript. Without it there are none. */
  load?(path: string): Promise<unknown>;
  /** Reads what is piped in. */
  input(): AsyncIterable<Uint8Array>;
  /**
   * Calls back when the user wants an end, as by Ctrl-C; the second time the process ends at
   * once. Without it nobody can ask for that.
   *
   * @returns A function that ends the listening.
   */
  onInterrupt?(callback: () => void): () => void;
  /** Shows a bar; `undefined` if there is no terminal for one. Without it there is none. */
  bar?(
    label: string,
    total: number | undefined,
  ): Promise<Bar | undefined> | undefined;
}

/** How the program ends that somebody has interrupted. */
export const INTERRUPTED = 130;

/** A bar that shows how far something is. */
export interface Bar {
  /** Shows that so many are done. */
  set(done: number): void;
  /** Leaves it as it is, and goes on below it. */
  stop(): void;
}

/**
 * Whoever read the output has ended: `dashi list | head`.
 *
 * @example A pipe that nobody reads
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { OutputClosed } from "@dashi/mq/cli";
 *
 * assertEquals(new OutputClosed().name, "OutputClosed");
 * ```
 */
export class OutputClosed extends Error {
  /** Its name. */
  override readonly name: string = "OutputClosed";
}

/**
 * Wrong arguments: the program ends with 2, and the text says what would be right.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { UsageError } from "@dashi/mq/cli";
 *
 * assertEquals(new UsageError("Give a queue").name, "UsageError");
 * ```
 */
export class UsageError extends Error {
  /** Its name. */
  override readonly name: string = "UsageError";
}
