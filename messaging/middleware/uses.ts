import { MessagingError, OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { asError } from "../../model/error_text.ts";
import { isThenable } from "../../async/thenable.ts";
import type { ConnectionEvent } from "../connection/connection_state.ts";
import type { Message } from "../consume/message_type.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { changedIncoming, changedOutgoing } from "./changes.ts";
import { soleObserver } from "./observer.ts";
import type {
  Hooks,
  IncomingMessage,
  InUse,
  NothingHook,
  OutgoingChanges,
  OutgoingMessage,
  ProcessBatchHook,
  ProcessHook,
  PublishHook,
  ReceiveHook,
  SettleHook,
} from "./hooks.ts";
import type {
  Middleware,
  MiddlewareHost,
  MiddlewareInput,
} from "./middleware.ts";

const MIDDLEWARE: KnownOptions = optionsOf<Middleware>("connection.use", {
  publish: "function",
  receive: "function",
  receivedNothing: "function",
  process: "function",
  processBatch: "function",
  settle: "function",
  event: "function",
}, {
  consume: '"process", around the handler, or "receive", before it',
  handle: '"process"',
  send: '"publish"',
  ack: '"settle"',
  onEvent: '"event"',
});

/** The middlewares of a connection, and their hooks, each in one. */
export class Uses implements InUse {
  readonly #emit: (event: ConnectionEvent) => void;
  /** As they were given: for pools, and clones. */
  readonly #given: MiddlewareInput[] = [];
  readonly #made: Middleware[] = [];
  hooks: Hooks | undefined;
  /** Hears events; `undefined` where no middleware does. */
  event: ((event: ConnectionEvent) => void) | undefined;

  /** Makes one without a middleware. */
  constructor(emit: (event: ConnectionEvent) => void) {
    this.#emit = emit;
  }

  /** As they were given. */
  get given(): readonly MiddlewareInput[] {
    return [...this.#given];
  }

  /**
   * Uses one more, inside the others.
   *
   * @throws {OptionError} If it is none.
   */
  add(given: MiddlewareInput, host: MiddlewareHost): void {
    const made: unknown = typeof given === "function" ? given(host) : given;
    this.#made.push(checkMiddleware(made));
    this.#given.push(given);
    this.#compose();
  }

  /** Keeps the first ones. */
  keep(count: number): void {
    if (this.#given.length === count) return;
    this.#given.length = this.#made.length = count;
    this.#compose();
  }

  /** A middleware has failed where nothing can become of it any more. */
  failed(
    hook: "settle" | "event" | "receivedNothing",
    thrown: unknown,
    message?: Message<unknown>,
  ): void {
    this.#emit({
      type: "middleware-failed",
      hook,
      queue: message?.deliveryInfo.queue,
      messageId: message?.properties.messageId,
      error: asError(thrown),
    });
  }

  #compose(): void {
    const made = this.#made;
    this.event = eventsOf(made, (error) => this.failed("event", error));
    this.hooks = made.length === 0 ? undefined : {
      observer: soleObserver(made),
      publish: publishOf(hooksOf(made, "publish")),
      receive: receiveOf(hooksOf(made, "receive")),
      receivedNothing: nothingOf(
        hooksOf(made, "receivedNothing"),
        (error) => this.failed("receivedNothing", error),
      ),
      process: nested(hooksOf<ProcessHook>(made, "process")),
      processBatch: nested(made.flatMap(batchHookOf)),
      settle: settleOf(hooksOf(made, "settle")),
    };
  }
}

function checkMiddleware(given: unknown): Middleware {
  const isObject = typeof given === "object" && given !== null &&
    !(given instanceof Promise);
  if (!isObject) {
    throw new OptionError(
      `Cannot use ${
        quote(given)
      } as a middleware: it must be an object with some of ${names()}, or a function that returns one`,
    );
  }
  const prototype: unknown = Object.getPrototypeOf(given);
  // An object of a class may have more than hooks.
  if (prototype === Object.prototype || prototype === null) {
    checkKnown(given, MIDDLEWARE);
  }
  const hooks = [...MIDDLEWARE.kinds.keys()].filter((name) =>
    typeof Reflect.get(given, name) === "function"
  );
  if (hooks.length > 0) return given;
  throw new OptionError(
    `Cannot use a middleware without a hook: it must have some of ${names()}`,
  );
}

function names(): string {
  return [...MIDDLEWARE.kinds.keys()].map((name) => `"${name}"`).join(", ");
}

function hooksOf<H>(
  made: readonly Middleware[],
  name: "publish" | "receive" | "receivedNothing" | "process" | "settle",
): H[] {
  return made.flatMap((each) => {
    const hook = each[name];
    return hook === undefined ? [] : [hook.bind(each) as H];
  });
}

function batchHookOf(each: Middleware): ProcessBatchHook[] {
  if (each.processBatch !== undefined) return [each.processBatch.bind(each)];
  const hook = each.process?.bind(each);
  if (hook === undefined) return [];
  return [(messages, next) => forEach(hook, messages, 0, next)];
}

/** Calls a hook for each message of a batch, one in another. */
function forEach(
  hook: ProcessHook,
  messages: readonly Message<unknown>[],
  index: number,
  next: () => void | Promise<void>,
): void | Promise<void> {
  const message = messages[index];
  if (message === undefined) return next();
  return hook(message, () => forEach(hook, messages, index + 1, next));
}

function publishOf(hooks: readonly PublishHook[]): Hooks["publish"] {
  if (hooks.length === 0) return undefined;
  return (message, send) => publishBy(hooks, 0, message, send);
}

function publishBy(
  hooks: readonly PublishHook[],
  index: number,
  message: OutgoingMessage,
  send: (message: OutgoingMessage) => Promise<void>,
): Promise<void> {
  const hook = hooks[index];
  if (hook === undefined) return send(message);
  let first: Promise<void> | undefined;
  const pass = (changes?: OutgoingChanges) =>
    publishBy(hooks, index + 1, changedOutgoing(message, changes), send);
  return promised(
    (next) => hook(message, next),
    (changes?: OutgoingChanges) => {
      if (first === undefined) return first = pass(changes);
      // One that has failed may be tried again.
      const again = first.then(refuseSecond, () => pass(changes));
      again.catch(() => {}); // nobody may have waited for it
      return again;
    },
  );
}

function refuseSecond(): never {
  throw new MessagingError(
    "Cannot publish: a middleware has called next() a second time for a message that was published; publish another one by a producer of its own",
    { code: "not-passed-on", outcome: "not-sent" },
  );
}

function settleOf(hooks: readonly SettleHook[]): Hooks["settle"] {
  if (hooks.length === 0) return undefined;
  const settleBy: (index: number) => SettleHook = (index) => {
    const hook = hooks[index];
    if (hook === undefined) return (_, next) => next();
    const inner = settleBy(index + 1);
    return (settlement, next) =>
      promised(
        (passed) => hook(settlement, passed),
        () => inner(settlement, next),
      );
  };
  return settleBy(0);
}

/**
 * Calls a hook. What it throws is a rejection, and one that returns nothing, as JavaScript
 * lets it, has not ended before what it has called.
 */
function promised<A extends unknown[]>(
  hook: (next: (...given: A) => Promise<void>) => Promise<void>,
  next: (...given: A) => Promise<void>,
): Promise<void> {
  let passed: Promise<void> | undefined;
  const pass = (...given: A): Promise<void> => {
    try {
      return passed = next(...given);
    } catch (error) {
      return passed = Promise.reject(error);
    }
  };
  try {
    const ended: unknown = hook(pass);
    return isThenable(ended)
      ? Promise.resolve(ended as PromiseLike<void>)
      : passed ?? Promise.resolve();
  } catch (error) {
    passed?.catch(() => {});
    return Promise.reject(error);
  }
}

/** A hook around a handler, of a message or of a batch. */
type NestedHook<M> = (
  message: M,
  next: () => void | Promise<void>,
) => void | Promise<void>;

function nested<M>(
  hooks: readonly NestedHook<M>[],
): NestedHook<M> | undefined {
  if (hooks.length === 0) return undefined;
  return (message, next) => nestedBy(hooks, 0, message, next);
}

function nestedBy<M>(
  hooks: readonly NestedHook<M>[],
  index: number,
  message: M,
  next: () => void | Promise<void>,
): void | Promise<void> {
  const hook = hooks[index];
  if (hook === undefined) return next();
  const inner = () => nestedBy(hooks, index + 1, message, next);
  return around(hook, message, inner);
}

/**
 * Calls a hook around a handler. Where the hook does not await what it has called, the
 * handler is waited for all the same: its message would be settled while it is at work.
 */
function around<M>(
  hook: NestedHook<M>,
  message: M,
  inner: () => void | Promise<void>,
): void | Promise<void> {
  let pending: Promise<void> | undefined;
  const next = () => {
    const running = inner();
    if (!isThenable(running)) return running;
    const mine = pending = Promise.resolve(running);
    const over = () => {
      if (pending === mine) pending = undefined;
    };
    mine.then(over, over);
    return mine;
  };
  const failed = async (error: unknown) => {
    await pending?.catch(() => {});
    throw error;
  };
  let ended: void | Promise<void>;
  try {
    ended = hook(message, next);
  } catch (error) {
    if (pending === undefined) throw error;
    return failed(error);
  }
  return isThenable(ended)
    ? Promise.resolve(ended).then(() => pending, failed)
    : pending;
}

function receiveOf(hooks: readonly ReceiveHook[]): Hooks["receive"] {
  if (hooks.length === 0) return undefined;
  return (message) => receiveBy(hooks, hooks.length - 1, message);
}

/** From the last one used to the first; without a promise where none of them returns one. */
function receiveBy(
  hooks: readonly ReceiveHook[],
  last: number,
  message: IncomingMessage,
): IncomingMessage | Promise<IncomingMessage> {
  let current = message;
  for (let index = last; index >= 0; index--) {
    const hook = hooks[index];
    const changes = hook?.(current);
    if (isThenable(changes)) {
      const before = current;
      return Promise.resolve(changes).then((changes) =>
        receiveBy(hooks, index - 1, changedIncoming(before, changes))
      );
    }
    current = changedIncoming(current, changes);
  }
  return current;
}

function nothingOf(
  hooks: readonly NothingHook[],
  failed: (error: unknown) => void,
): NothingHook | undefined {
  return hooks.length === 0
    ? undefined
    : (call) => tellAll(hooks, call, failed);
}

function eventsOf(
  made: readonly Middleware[],
  failed: (error: unknown) => void,
): ((event: ConnectionEvent) => void) | undefined {
  const hooks = made.flatMap((each) =>
    each.event === undefined ? [] : [each.event.bind(each)]
  );
  if (hooks.length === 0) return undefined;
  return (event) =>
    tellAll(
      hooks,
      event,
      event.type === "middleware-failed" ? () => {} : failed,
    );
}

/** Calls hooks of which nothing becomes, whatever they throw. */
function tellAll<E>(
  hooks: readonly ((event: E) => void)[],
  event: E,
  failed: (error: unknown) => void,
): void {
  for (const hook of hooks) {
    try {
      const told: unknown = hook(event); // an async function passes for one
      if (isThenable(told)) Promise.resolve(told).catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
