/**
 * Waits until the event loop has turned: timers and sockets have had their turn.
 * A loop over promises that are always settled starves both.
 *
 * @returns A promise that resolves on the next turn.
 */
export function turn(): Promise<void> {
  return new Promise((resolve) => atNextTurn(resolve));
}

/**
 * Calls back on the next turn of the event loop.
 *
 * @param callback Called with nothing. Must not throw.
 */
export function atNextTurn(callback: () => void): void {
  // Deno, Node and Bun have it; a timer of 0 ms is a whole millisecond.
  if (typeof globalThis.setImmediate === "function") {
    globalThis.setImmediate(callback);
  } else setTimeout(callback, 0);
}
