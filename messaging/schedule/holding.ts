import type { Message } from "../consume/message.ts";
import type { Definition, ScheduleState } from "./state.ts";
import type { Timing } from "./when.ts";

/** A schedule whose token is here. */
export class Holding {
  readonly name: string;
  /** When its token was written last, on the clock (ms). */
  since: number;
  /** Whether its ticks are being published. */
  isBusy = false;
  /** How often in a row that has failed. */
  failures = 0;
  /** Not before, on the clock (ms). */
  retryAt = 0;
  /** Its tokens: one, but for a moment, or after a crash. */
  readonly #messages = new Set<Message<unknown>>();
  #state: ScheduleState | undefined;
  #when: string | undefined;
  #timing: Timing | undefined;
  #next = Infinity;

  /** Makes one without a token. */
  constructor(name: string, now: number) {
    this.name = name;
    this.since = now;
  }

  /** How many tokens there are. */
  get count(): number {
    return this.#messages.size;
  }

  /** Keeps a token until it is replaced; if it is lost before, somebody else has it, or will. */
  add(message: Message<unknown>, onLost: () => void): void {
    this.#messages.add(message);
    const lost = () => {
      if (this.#messages.delete(message)) onLost();
    };
    if (message.signal.aborted) lost();
    else message.signal.addEventListener("abort", lost, { once: true });
  }

  /** Puts another token, and acks those that were here before; where that fails they stay. */
  async replace(put: () => Promise<void>, now: number): Promise<void> {
    const before = [...this.#messages];
    await put();
    for (const message of before) this.#messages.delete(message);
    this.since = now;
    // One that cannot be acked comes again, and is joined with the new one.
    await Promise.allSettled(before.map((message) => message.ack()));
  }

  /** Says which ticks a definition has. */
  setTiming(definition: Definition, timing: Timing): void {
    this.#when = JSON.stringify(definition.when);
    this.#timing = timing;
    this.#state = undefined;
  }

  /** The next tick of its state; `undefined` if its ticks are not known. */
  next(state: ScheduleState): number | undefined {
    if (state !== this.#state) {
      if (this.#timing === undefined) return undefined;
      if (JSON.stringify(state.definition?.when) !== this.#when) {
        return undefined;
      }
      this.#next = this.#timing.after(state.last) ?? Infinity;
      this.#state = state;
    }
    return this.#next;
  }
}
