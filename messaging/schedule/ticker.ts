import { asError } from "../../model/error_text.ts";
import { OptionError, UnsupportedError } from "../../model/errors.ts";
import type { Publishing } from "../../model/message.ts";
import type { Holding } from "./holding.ts";
import type { ScheduleHost } from "./schedule_host.ts";
import type { ScheduleState } from "./state.ts";
import { tickMessage } from "./tick.ts";
import { dueTicks, LATE, retryDelay } from "./timing.ts";
import type { Tokens } from "./tokens.ts";

/** A token is written anew after so long, ms: RabbitMQ takes back after half an hour what is not acked, SQS after twelve. */
const REFRESH = 600_000;

/** A clock that was set is noticed within so many ms. */
const GLANCE = 1000;

/** A `last` that lies so far ahead was written by a clock that was wrong, ms. */
const AHEAD = 60_000;

/** Publishes the ticks of the schedules that are held. */
export class Ticker {
  readonly #host: ScheduleHost;
  readonly #tokens: Tokens;
  readonly #track: (work: Promise<void>) => void;
  readonly #onGlance: () => void;
  /** The places that take no message with `dedupe`. */
  readonly #twice = new Set<string>();
  #stopTimer: (() => void) | undefined;
  #isRunning = false;

  /**
   * Makes one that stands still.
   *
   * @param host The connection.
   * @param tokens The schedules.
   * @param track Is given what must end before the tokens go back.
   * @param onGlance Called now and then while it runs.
   */
  constructor(
    host: ScheduleHost,
    tokens: Tokens,
    track: (work: Promise<void>) => void,
    onGlance: () => void,
  ) {
    this.#host = host;
    this.#tokens = tokens;
    this.#track = track;
    this.#onGlance = onGlance;
  }

  /** Begins. */
  start(): void {
    this.#isRunning = true;
    this.arm();
  }

  /** Ends: what is being published comes to its end. */
  stop(): void {
    this.#isRunning = false;
    this.#stopTimer?.();
  }

  /** Looks again when the next tick is due, or soon: the clock may be set meanwhile. */
  arm(): void {
    this.#stopTimer?.();
    if (!this.#isRunning) return;
    const { clock } = this.#host.session;
    const [now, wall] = [clock.now(), clock.wall()];
    let delay = GLANCE;
    for (const holding of this.#tokens.held.values()) {
      if (holding.isBusy) continue;
      const next = this.#nextOf(holding) ?? wall;
      delay = Math.min(delay, Math.max(next - wall, holding.retryAt - now));
    }
    this.#stopTimer = clock.timer(this.#glance, Math.max(delay, 1));
  }

  readonly #glance = (): void => {
    const { clock } = this.#host.session;
    const now = clock.now();
    for (const holding of this.#tokens.held.values()) {
      if (holding.isBusy || now < holding.retryAt) continue;
      const next = this.#nextOf(holding);
      if (next === undefined || next <= clock.wall() || this.#isOld(holding)) {
        this.#track(this.#work(holding));
      }
    }
    this.#onGlance();
    this.arm();
  };

  #isOld({ since }: Holding): boolean {
    return this.#host.session.clock.now() - since > REFRESH;
  }

  /** The next tick; `undefined` if it is not known yet, and `Infinity` if there is none. */
  #nextOf(holding: Holding): number | undefined {
    const { own } = this.#tokens;
    const state = this.#tokens.stateOf(holding.name);
    if (own.size === 0 || state === undefined || state.definition === null) {
      return Infinity;
    }
    const wall = this.#host.session.clock.wall();
    if (state.last <= wall + AHEAD) return holding.next(state);
    // The clock was set back, here or where that was written: its ticks come again under the
    // ids that they had, and none waits until the clock is there again.
    this.#tokens.done(state, wall);
    return holding.next(this.#tokens.stateOf(holding.name) ?? state);
  }

  /** Publishes what is due, and writes the token anew. Never rejects. */
  async #work(holding: Holding): Promise<void> {
    const { session, counts } = this.#host;
    const { name } = holding;
    const state = this.#tokens.stateOf(name);
    if (state === undefined) return;
    holding.isBusy = true;
    try {
      if (this.#tokens.own.size > 0) await this.#publishDue(state, holding);
      if (this.#tokens.stateOf(name) !== state || this.#isOld(holding)) {
        await this.#tokens.write(holding);
      }
      holding.failures = 0;
    } catch (error) {
      counts.failures++;
      const delay = retryDelay(holding.failures++);
      holding.retryAt = session.clock.now() + delay;
      session.emit({
        type: "schedule-failed",
        name,
        last: new Date(this.#tokens.stateOf(name)?.last ?? state.last),
        delay,
        error: asError(error),
      });
    } finally {
      holding.isBusy = false;
      this.#tokens.letGo(holding);
      this.arm();
    }
  }

  async #publishDue(state: ScheduleState, holding: Holding): Promise<void> {
    const { session, counts } = this.#host;
    const { name, last, definition } = state;
    const timing = await this.#tokens.timingOf(state);
    if (timing === undefined || definition === null) return;
    holding.setTiming(definition, timing);
    const now = session.clock.wall();
    const ticks = dueTicks(timing, last, now, definition.missed);
    if (ticks.length === 0 && (timing.after(last) ?? Infinity) <= now) {
      this.#tokens.done(state, now); // all of them were missed, and are left out
    }
    let before: ScheduleState | undefined = state;
    for (const tick of ticks) {
      await this.#publishOnce(
        tickMessage(name, definition, tick, session.knowsQueues),
      );
      counts.published++;
      // Another definition may have come, or what a killed process left; or this one is about to end.
      before = this.#tokens.done(before, tick);
      if (before === undefined || !this.#isRunning) return;
    }
  }

  /** Publishes a tick with `dedupe` where the broker has it, so that one that a killed process published is not put again. */
  async #publishOnce(message: Publishing): Promise<void> {
    const { exchange, routingKey, properties: { messageId = "" } } = message;
    const { capabilities } = this.#host.session;
    const target = `${exchange}\n${routingKey}`;
    if (!capabilities.has("dedupe") || this.#twice.has(target)) {
      return await this.#tokens.publish(message);
    }
    const dedupe = { id: messageId, window: LATE, token: crypto.randomUUID() };
    try {
      await this.#tokens.publish({ ...message, dedupe });
    } catch (error) {
      if (!isRefused(error)) throw error;
      this.#twice.add(target); // a queue, or an exchange, of a kind that keeps no marks
      await this.#tokens.publish(message);
    }
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof UnsupportedError || error instanceof OptionError;
}
