import type { Clock } from "../../async/clock.ts";
import { decode, type RedisReply } from "./reply.ts";

/** So much may an estimate be wrong by, ms. */
const SLACK = 2000;

/**
 * The time by which messages become due, expire and are given back: the server's clock,
 * mended where it was set. The server's time is checked against a monotonic clock here: the
 * scripts themselves notice when it was set back, by the time that they are told to expect; a
 * clock that was set forward shows in an answer, for a call may have been on its way for
 * long. The correction lies on the server, and has a number: what was expected before the
 * last one counts no more. The clocks of a cluster's nodes are taken as they are.
 */
export class ServerClock {
  readonly #clock: Clock;
  readonly #isCorrected: boolean;
  #generation = "";
  /** The server's clock less ours: at least, and at most. */
  #least = 0;
  #most = 0;
  #syncedAt = -Infinity;
  /** The calendar's clock less ours: if that changes one of ours was set, or stood still. */
  #calendar = 0;

  /** Makes one that knows nothing yet; `isCorrected` says whether the server's clock is one, which can be corrected. */
  constructor(clock: Clock, isCorrected = true) {
    this.#clock = clock;
    this.#isCorrected = isCorrected;
  }

  /** The time, as well as we know it, ms. */
  get now(): number {
    return this.#clock.now() + this.#least;
  }

  /** A time, on our clock. */
  toLocal(time: number): number {
    return time - this.#least;
  }

  /** The arguments of a script: the number of the correction, and the time that is expected. */
  get expected(): readonly [generation: string, now: number] {
    return this.#isCorrected && this.#generation !== ""
      ? [this.#generation, Math.floor(this.now)]
      : ["", 0];
  }

  /**
   * Takes over what an answer says.
   *
   * @param stamp The time, and the number of the correction.
   * @param sentAt When the call was sent, on our clock.
   * @returns By how much the clock was set forward, if it was; then nothing was taken over.
   */
  sync(stamp: RedisReply | undefined, sentAt: number): number | undefined {
    const [time, number] = Array.isArray(stamp) ? stamp : [];
    const now = Number(time);
    const generation = decode(number);
    if (!Number.isFinite(now)) return undefined;
    const here = this.#clock.now();
    const calendar = this.#clock.wall() - here;
    const ahead = now - (here + this.#most);
    if (
      this.#isCorrected && generation === this.#generation && ahead > SLACK &&
      Math.abs(calendar - this.#calendar) < SLACK / 2
    ) return Math.round(now - this.now);
    // An answer that lay unread says little; earlier answers say more.
    const isOld = here - this.#syncedAt > 60_000;
    const spread = here - sentAt;
    if (
      generation === this.#generation && !isOld &&
      spread > 1000 && spread > this.#most - this.#least
    ) return undefined;
    this.#generation = generation;
    this.#least = now - here;
    this.#most = now - sentAt;
    this.#syncedAt = here;
    this.#calendar = calendar;
    return undefined;
  }
}
