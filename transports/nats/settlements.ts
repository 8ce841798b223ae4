import type { Clock } from "../../async/clock.ts";
import type { Reservation } from "../store/store.ts";
import type { NatsClient } from "./client.ts";
import type { NatsContext } from "./context.ts";
import { CODES, isOf, JetStreamError } from "./errors.ts";
import { NatsReservation } from "./reservation.ts";

/** What becomes of a message, in JetStream's words. */
export type Verdict = "+ACK" | "-NAK" | "+WPI" | typeof LATER;

/** It goes back, and is handed out again in an hour. */
export const LATER = '-NAK {"delay": 3600000000000}';

/** After what time an ack that nobody read is sent again, ms. */
const PAUSE = 50;

/**
 * Settles messages, and knows which are held. JetStream takes an ack by the message's
 * number, whoever sends it: so who has held a message for longer than its time settles
 * nothing any more, for somebody else may have it.
 */
export class Settlements {
  readonly #client: NatsClient;
  readonly #clock: Clock;
  readonly #lease: number;
  readonly #held = new Set<NatsReservation>();

  /** Makes one of a connection that holds nothing. */
  constructor({ client, clock, settings }: NatsContext) {
    this.#client = client;
    this.#clock = clock;
    this.#lease = settings.lease;
  }

  /** The numbers of those of a queue. */
  sequences(queue: string): ReadonlySet<string> {
    const ours = this.all().filter((each) => each.queue === queue);
    return new Set(ours.map(({ handle }) => handle));
  }

  /** All that are held. */
  all(): readonly NatsReservation[] {
    return [...this.#held];
  }

  /** Holds a message. */
  hold(reservation: NatsReservation): void {
    this.#held.add(reservation);
  }

  /** Whether a message is ours still. */
  isOurs(reservation: Reservation): reservation is NatsReservation {
    return reservation instanceof NatsReservation &&
      this.#held.has(reservation) && reservation.until > this.#clock.now();
  }

  /** Settles messages; returns those that were no longer ours. */
  async settle(
    all: readonly Reservation[],
    verdict: Verdict,
  ): Promise<readonly Reservation[]> {
    const lost: Reservation[] = [];
    const byConsumer = new Map<string, NatsReservation[]>();
    for (const each of all) {
      if (!this.isOurs(each)) {
        if (each instanceof NatsReservation) this.#held.delete(each);
        lost.push(each);
        continue;
      }
      if (verdict === "+ACK") each.isDone = true;
      const { stream, consumer } = each.from;
      const key = `${stream}.${consumer}`;
      const together = byConsumer.get(key);
      if (together === undefined) byConsumer.set(key, [each]);
      else together.push(each);
    }
    const until = this.#clock.now() + this.#lease;
    await Promise.all([...byConsumer.values()].map(async (together) => {
      const there = await this.#send(together, verdict);
      if (!there) lost.push(...together);
      for (const each of together) {
        if (there && verdict === "+WPI") each.until = until;
        else this.#held.delete(each);
      }
    }));
    return lost;
  }

  /** A consumer reads its acks in order: the answer to the last is that to all. Says whether the consumer is there. */
  async #send(
    all: readonly NatsReservation[],
    verdict: Verdict,
  ): Promise<boolean> {
    const last = all.length - 1;
    for (;;) {
      let answer;
      for (let i = 0; i <= last; i++) {
        const ack = all[i]?.ack ?? "";
        // The server takes the first out for a request of ours that was called off just now,
        // and puts it behind those that have come back by then.
        const isAlone = i === 0 && verdict === "-NAK";
        if (i < last && !isAlone) this.#client.publish(ack, verdict);
        else answer = await this.#client.request(ack, verdict);
      }
      if (answer?.headers?.code !== 503) return true;
      // Nobody reads the acks of a queue that was deleted; nor does a server that is ending,
      // or a cluster that elects: those read them when they are back.
      if (await this.#isGone(all[last])) return false;
      await this.#client.pause(PAUSE);
    }
  }

  /** Whether the consumer of a message was deleted. */
  async #isGone(message: NatsReservation | undefined): Promise<boolean> {
    const { stream, consumer } = message?.from ?? {};
    try {
      await this.#client.call(
        `CONSUMER.INFO.${stream}.${consumer}`,
      );
      return false;
    } catch (error) {
      if (error instanceof JetStreamError && error.status >= 500) return false;
      if (isOf(error, CODES.streamNotFound, CODES.consumerNotFound)) {
        return true;
      }
      throw error;
    }
  }
}
