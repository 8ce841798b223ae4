import type { Line } from "../../async/line.ts";
import { MessagingError } from "../../model/errors.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Message } from "../consume/message_type.ts";
import { NO_HEADERS, watched } from "../middleware/observer.ts";
import type {
  Hooks,
  InUse,
  Observer,
  OutgoingMessage,
  PublishOrigin,
  Watch,
} from "../middleware/hooks.ts";
import {
  type MessagePublisher,
  NO_PLACE,
  type OrderedPlace,
  type Publishable,
  type PublishCall,
  waited,
} from "./publish_call.ts";

type PublishHooks = NonNullable<Hooks["publish"]>;

/** Thrown in the line for a message that a middleware has not passed on: those behind it go on. */
const KEPT = new Error("A middleware has not passed a message on");

/** Publishes what passes the middlewares of a connection; without one it costs a look. */
export class HookedPublisher implements MessagePublisher {
  readonly #publisher: MessagePublisher;
  readonly #uses: InUse;
  readonly #origin: PublishOrigin;

  /** Makes one for the publishes of one kind. */
  constructor(
    publisher: MessagePublisher,
    uses: InUse,
    origin: PublishOrigin,
  ) {
    this.#publisher = publisher;
    this.#uses = uses;
    this.#origin = origin;
  }

  /** Whether a middleware sees what is published. */
  get isSeen(): boolean {
    return this.#uses.hooks?.publish !== undefined;
  }

  publish(
    message: Publishable,
    call: PublishCall,
    place: OrderedPlace,
  ): Promise<void> {
    const hooks = this.#uses.hooks;
    if (hooks?.publish === undefined) {
      return this.#publisher.publish(message, call, place);
    }
    return hooks.observer !== undefined && typeof message !== "function"
      ? this.#publishWatched(hooks.observer, message, call, place)
      : place.follow(
        this.#passOn(hooks.publish, message, waited(call), place.line),
      );
  }

  /** It takes no longer than without the observer, who neither waits nor keeps it. */
  #publishWatched(
    observer: Observer,
    message: Publishing,
    call: PublishCall,
    place: OrderedPlace,
  ): Promise<void> {
    const watch = observer.publish(this.#origin, message, call.request);
    return watch === undefined
      ? this.#publisher.publish(message, call, place)
      : this.#publisher.publish(
        withHeaders(message, watch.headers),
        call,
        new WatchedPlace(place, watch),
      );
  }

  #passOn(
    hooks: PublishHooks,
    message: Publishable,
    call: PublishCall,
    line: Line,
  ): Promise<void> {
    return typeof message === "function"
      ? this.#passInLine(hooks, message, call, line)
      : this.#passNow(hooks, message, call, line);
  }

  /**
   * Hooks that pass it on at once cost no place in the line. Others take theirs: they are
   * called now, beside those of the messages before it, and no later message overtakes it.
   */
  #passNow(
    hooks: PublishHooks,
    message: Publishing,
    call: PublishCall,
    line: Line,
  ): Promise<void> {
    const passage = new Passage(this.#publisher, call, line);
    const ended = this.#call(hooks, message, call, passage.send);
    if (passage.isPassed) return ended;
    passage.follow(ended);
    return passage.stand(() => passage.message);
  }

  #passInLine(
    hooks: PublishHooks,
    make: () => Promise<Publishing>,
    call: PublishCall,
    line: Line,
  ): Promise<void> {
    const passage = new Passage(this.#publisher, call, line);
    return passage.stand(async () => {
      const message = await make();
      passage.follow(this.#call(hooks, message, call, passage.sendInLine));
      return await passage.message;
    });
  }

  #call(
    hooks: PublishHooks,
    message: Publishing,
    { request }: PublishCall,
    send: (message: Publishing) => Promise<void>,
  ): Promise<void> {
    return passOn(hooks, message, this.#origin, request, send);
  }
}

/** The place of a message whose end an observer hears of, before its producer does. */
class WatchedPlace implements OrderedPlace {
  readonly line: Line;
  readonly #place: OrderedPlace;
  readonly #watch: Watch;

  constructor(place: OrderedPlace, watch: Watch) {
    this.line = place.line;
    this.#place = place;
    this.#watch = watch;
  }

  leave(): void {
    this.#watch.ended();
    this.#place.leave();
  }

  follow(published: Promise<void>): Promise<void> {
    return this.#place.follow(watched(published, this.#watch));
  }
}

/** The promises of a passage that takes its time. */
class Waits {
  /** The message as the hooks pass it on. */
  readonly passed = Promise.withResolvers<Publishing>();
  /** The broker's answer. */
  readonly answered = Promise.withResolvers<void>();
  /** The end of the hooks. */
  readonly ended = Promise.withResolvers<void>();

  constructor() {
    this.passed.promise.catch(() => {});
    this.answered.promise.catch(() => {});
  }
}

/** The passage of one message through hooks that may take their time. */
class Passage {
  readonly #publisher: MessagePublisher;
  readonly #call: PublishCall;
  readonly #line: Line;
  /** None where the hooks pass it on at once. */
  #made: Waits | undefined;
  #stands = false;
  /** Whether the hooks have ended without having passed it on. */
  #isKept = false;
  /** Whether the hooks have passed it on. */
  isPassed = false;

  constructor(publisher: MessagePublisher, call: PublishCall, line: Line) {
    this.#publisher = publisher;
    this.#call = call;
    this.#line = line;
  }

  get #waits(): Waits {
    return this.#made ??= new Waits();
  }

  /** The message as the hooks pass it on. */
  get message(): Promise<Publishing> {
    return this.#waits.passed.promise;
  }

  /** Called by the hooks: the first time in its place, each other time as a message of its own. */
  readonly send = (message: Publishing): Promise<void> =>
    this.#stands ? this.sendInLine(message) : this.#publishNow(message);

  readonly sendInLine = (message: Publishing): Promise<void> => {
    if (this.#isKept) return Promise.reject(tooLate());
    if (this.isPassed) return this.#publishNow(message);
    this.isPassed = true;
    this.#waits.passed.resolve(message);
    return this.#waits.answered.promise;
  };

  get #place(): OrderedPlace {
    return { ...NO_PLACE, line: this.#line };
  }

  #publishNow(message: Publishing): Promise<void> {
    this.isPassed = true;
    return this.#publisher.publish(message, this.#call, this.#place);
  }

  /** It ends as its hooks do. */
  follow(hooks: Promise<void>): void {
    const { passed, ended } = this.#waits;
    hooks.then(() => {
      this.#isKept = !this.isPassed;
      passed.reject(KEPT);
      ended.resolve();
    }, (error) => {
      passed.reject(error);
      ended.reject(error);
    });
  }

  /** Takes its place in the line; resolves when the hooks have ended. */
  stand(step: () => Promise<Publishing>): Promise<void> {
    this.#stands = true;
    const obstacle =
      "what it needs is not declared yet, or a middleware has not passed it on";
    const call = { ...this.#call, obstacle };
    const { answered, ended } = this.#waits;
    this.#publisher.publish(step, call, this.#place).then(
      answered.resolve,
      (error) => {
        answered.reject(error);
        if (!this.isPassed && error !== KEPT) ended.reject(error);
      },
    );
    return ended.promise;
  }
}

function tooLate(): MessagingError {
  return new MessagingError(
    "Cannot publish: a middleware has called next() after its publish had ended, when the message counted as not passed on; let publish return what next() returns, or await it",
    { code: "not-passed-on", outcome: "not-sent" },
  );
}

/**
 * Has a message pass the hooks.
 *
 * @param hooks The hooks.
 * @param message The message.
 * @param origin The call that publishes it.
 * @param request The request that it answers.
 * @param send Publishes it, as they pass it on.
 * @returns The end of the hooks.
 */
export function passOn(
  hooks: PublishHooks,
  message: Publishing,
  origin: PublishOrigin,
  request: Message<unknown> | undefined,
  send: (message: Publishing) => Promise<void>,
): Promise<void> {
  const { exchange, routingKey, delay, properties: all, body } = message;
  const { headers = {}, ...properties } = all;
  const given: OutgoingMessage = {
    origin,
    exchange,
    routingKey,
    delay,
    properties,
    headers,
    body,
    request,
  };
  return hooks(
    given,
    (passed) => send(passed === given ? message : asPassed(message, passed)),
  );
}

function withHeaders(message: Publishing, headers: FieldTable): Publishing {
  const { properties } = message;
  return headers === (properties.headers ?? NO_HEADERS)
    ? message
    : { ...message, properties: { ...properties, headers } };
}

function asPassed(
  message: Publishing,
  { exchange, routingKey, properties, headers, body }: OutgoingMessage,
): Publishing {
  const all: MessageProperties = Object.keys(headers).length === 0
    ? { ...properties }
    : { ...properties, headers };
  return {
    ...message,
    exchange,
    routingKey,
    properties: all,
    body,
    ownsProperties: true,
  };
}
