/** The functions to call when the process ends. */
const waiting = new Set<() => void>();

/** As far as the runtimes have them. */
interface Ending {
  readonly process?: {
    once?(name: "exit", listener: () => void): unknown;
  };
  addEventListener?(name: "unload", listener: () => void): void;
}

let isWatching = false;

/**
 * Calls back when the process ends in order, or by `exit()`: it may write then, and wait
 * for nothing. It keeps no process alive, and asks for the end of the process once,
 * whoever calls.
 *
 * @param callback The function to call, once.
 * @returns A function that calls it off.
 */
export function atExit(callback: () => void): () => void {
  waiting.add(callback);
  if (!isWatching) {
    isWatching = true;
    const { process } = globalThis as Ending;
    process?.once?.("exit", end);
    // Deno tells of its own `exit()` by this alone.
    (globalThis as Ending).addEventListener?.("unload", end);
  }
  return () => void waiting.delete(callback);
}

function end(): void {
  for (const callback of [...waiting]) callback();
  waiting.clear();
}
