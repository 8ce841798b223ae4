import type { Limits } from "../../async/limits.ts";
import { Line } from "../../async/line.ts";
import { turn } from "../../async/turn.ts";
import { Waiters } from "../../async/waiters.ts";
import { TimeoutError } from "../../model/errors.ts";
import {
  type MessagePublisher,
  NO_PLACE,
  type OrderedPlace,
  type Publishable,
  type PublishCall,
  waited,
} from "./publish_call.ts";

/** A message that waits for room. */
interface Waiting {
  readonly message: Publishable;
  readonly call: PublishCall;
  readonly resolve: (published: Promise<void>) => void;
  unwatch: (() => void) | undefined;
}

/** So often a tight loop over `publish` lets the event loop turn: timers and sockets would starve. */
const YIELD_EVERY = 256;

/** A message for which there is room waits for nothing. */
const READY = Promise.resolve();

/**
 * Lets so many messages of a producer wait for the broker at once. The others wait for
 * room, in order; there may be very many, so that each is one promise and one record.
 */
export class PublishWindow implements OrderedPlace {
  readonly line: Line = new Line();
  readonly #publisher: MessagePublisher;
  readonly #limits: Limits;
  readonly #maxInFlight: number;
  readonly #waiting = new Waiters<Waiting>();
  #inFlight = 0;
  #count = 0;
  #idle: (() => void) | undefined;
  #drained: Promise<void> | undefined;
  #asked = 0;
  #onRoom: (() => void) | undefined;
  #room: Promise<void> | undefined;

  /** Makes an empty one. */
  constructor(
    publisher: MessagePublisher,
    limits: Limits,
    maxInFlight: number,
  ) {
    this.#publisher = publisher;
    this.#limits = limits;
    this.#maxInFlight = maxInFlight;
  }

  /** How many messages wait for the broker: for its answer, or for entities that are still declared for them. Messages that wait for room are not counted. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Publishes a message now, or when there is room. */
  pass(message: Publishable, call: PublishCall): Promise<void> {
    if (this.#inFlight >= this.#maxInFlight) {
      return this.#passLater(message, waited(call));
    }
    this.#inFlight++;
    if (++this.#count % YIELD_EVERY > 0) {
      return this.#publisher.publish(message, call, this);
    }
    // It has its place until its caller hears of it: later ones do not go ahead of that.
    const apart = { ...NO_PLACE, line: this.line };
    return this.follow(
      this.#publisher.publish(message, call, apart).then(turn),
    );
  }

  /** Resolves when there is room, and now and then not before the event loop has turned. */
  get ready(): Promise<void> {
    const room = this.#inFlight < this.#maxInFlight
      ? READY
      : this.#room ??= new Promise((resolve) => this.#onRoom = resolve);
    return ++this.#asked % YIELD_EVERY === 0 ? room.then(turn) : room;
  }

  /** Waits until nothing is in flight, or waits for room. */
  async drain(): Promise<void> {
    if (this.#inFlight === 0) return;
    await (this.#drained ??= new Promise((resolve) => this.#idle = resolve));
  }

  #passLater(message: Publishable, call: PublishCall): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { message, call, resolve, unwatch: undefined };
      const place = this.#waiting.add(waiting);
      waiting.unwatch = this.#limits.watch(call, (reason) => {
        place.leave();
        reject(reason === undefined ? this.#late(message) : reason.aborted);
      });
    });
  }

  follow(published: Promise<void>): Promise<void> {
    return published.then(this.#accepted, this.#failed);
  }

  readonly #accepted = (): void => this.leave();

  readonly #failed = (error: unknown): never => {
    this.leave();
    throw error;
  };

  /** Gives a place to the publish that has waited longest. */
  leave(): void {
    this.#inFlight--;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.unwatch?.();
      return next.resolve(this.pass(next.message, next.call));
    }
    this.#onRoom?.();
    this.#onRoom = this.#room = undefined;
    if (this.#inFlight > 0) return;
    this.#idle?.();
    this.#idle = this.#drained = undefined;
  }

  #late(message: Publishable): TimeoutError {
    const where = typeof message === "function"
      ? ""
      : ` to exchange "${message.exchange}"`;
    return new TimeoutError(
      `Cannot publish${where} in time: ${this.#maxInFlight} messages still wait for the broker's answer`,
      { outcome: "not-sent" },
    );
  }
}
