/**
 * Listens to the signals of many calls, with one listener for each signal: a
 * listener for each call makes removing them slow, and `AbortSignal.any` costs
 * more than a publish.
 */
export class AbortListeners {
  /** Holds only signals that something listens to right now. */
  readonly #listening = new Map<AbortSignal, Listening>();

  /**
   * Calls back once when a signal aborts.
   *
   * @param signal A signal that has not aborted yet: the caller has looked.
   * @param callback Called when it aborts. Must not throw.
   * @returns A function that stops listening; calling it later or twice does nothing.
   */
  listen(signal: AbortSignal, callback: () => void): () => void {
    let listening = this.#listening.get(signal);
    if (listening === undefined) {
      const callbacks = new Set<() => void>();
      const onAbort = () => {
        this.#listening.delete(signal);
        for (const each of callbacks) each();
      };
      listening = { callbacks, onAbort };
      this.#listening.set(signal, listening);
      signal.addEventListener("abort", onAbort, { once: true });
    }
    const { callbacks, onAbort } = listening;
    // A function of its own: the same callback may listen twice.
    const own = () => callback();
    callbacks.add(own);
    return () => {
      if (!callbacks.delete(own) || callbacks.size > 0) return;
      if (this.#listening.get(signal)?.callbacks !== callbacks) return;
      this.#listening.delete(signal);
      signal.removeEventListener("abort", onAbort);
    };
  }
}

interface Listening {
  readonly callbacks: Set<() => void>;
  readonly onAbort: () => void;
}
