/**
 * Blocks the event loop, as work that takes so long does, and needs no processor for it.
 *
 * @param duration How long, ms.
 */
export function block(duration: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, duration);
}
