import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import { TimeoutError } from "../../model/errors.ts";
import type { Transport } from "../../transports/transport.ts";
import type { Call } from "../operation_options.ts";

/**
 * Imports a transport with its client, once for all that need it. On a slow machine that
 * takes seconds, of which the broker knows nothing: none of the limits of connecting holds
 * for it, but those of each call do.
 */
export class TransportLoader {
  readonly #name: string;
  readonly #load: () => Promise<Transport>;
  #loading: Promise<Transport> | undefined;
  #isDone = false;

  /** Makes one that has imported nothing; `name` is the transport's. */
  constructor(name: string, load: () => Promise<Transport>) {
    this.#name = name;
    this.#load = load;
  }

  /** Returns the transport, which is imported if it was not; after a failure it is tried again. */
  load(): Promise<Transport> {
    return this.#loading ??= this.#loadNow();
  }

  /** The error of a call that could wait no longer, if the import has not ended: it has nothing else to complain of. */
  get obstacle(): TimeoutError | undefined {
    return this.#loading === undefined || this.#isDone
      ? undefined
      : this.#late();
  }

  /**
   * Waits until a transport is imported, or it is known that it cannot be.
   *
   * @param ended Settles when nobody needs it any more, and tells then why.
   * @param call The limits of the call that waits.
   * @param limits The owner of limits.
   * @param clock The time.
   * @throws {TimeoutError} If the call's deadline passes meanwhile.
   */
  async wait(
    ended: Promise<unknown>,
    call: Call,
    limits: Limits,
    clock: Clock,
  ): Promise<void> {
    if (this.#isDone) return;
    const loaded = Promise.race([this.load(), ended]).catch(() => {});
    await limits.wait(loaded, call, () => this.#late());
    // An import lets no timer run: the deadline may have passed without a word.
    if (call.deadline <= clock.now()) throw this.#late();
  }

  async #loadNow(): Promise<Transport> {
    try {
      const transport = await this.#load();
      await transport.load?.();
      this.#isDone = true;
      return transport;
    } catch (error) {
      this.#loading = undefined;
      throw error;
    }
  }

  #late(): TimeoutError {
    return new TimeoutError(
      `Cannot connect in time: the client of the transport "${this.#name}" was still being imported, and no broker was asked`,
      { outcome: "not-sent" },
    );
  }
}
