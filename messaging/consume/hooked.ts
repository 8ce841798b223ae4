import { isThenable } from "../../async/thenable.ts";
import type { InUse, Observer, ProcessHook } from "../middleware/hooks.ts";
import { watched } from "../middleware/observer.ts";
import type { AskInvalid, Handler } from "./checked.ts";
import type { Message, ReceivedMessage } from "./message.ts";

/** The middlewares of a handler's connection; none for the library's own handlers. */
type Using = InUse | undefined;

/**
 * Makes a handler that is called for messages as the middlewares hand them over. One that
 * they refuse goes to `onInvalid`, and fails unless that has settled it.
 *
 * @param uses The middlewares.
 * @param handler The handler.
 * @param ask Whom to ask; without it the handler is called, and looks itself.
 * @returns The handler to call.
 */
export function receiving<T>(
  uses: Using,
  handler: Handler<T>,
  ask: AskInvalid<T> | undefined,
): Handler<T> {
  if (uses === undefined || typeof handler !== "function") return handler;
  return (message) => {
    const { hooks } = uses;
    return hooks?.receive === undefined || hooks.observer !== undefined
      ? handler(message)
      : received(message, handler, ask);
  };
}

function received<T>(
  message: ReceivedMessage<T>,
  handler: Handler<T>,
  ask: AskInvalid<T> | undefined,
): void | Promise<void> {
  const call = () => {
    const error = message.refusal;
    if (error === undefined || ask === undefined) return handler(message);
    return ask(error, message).then(() => {
      if (!message.settled) throw error;
    });
  };
  const receiving = message.receive("run");
  return receiving === undefined ? call() : receiving.then(call);
}

/**
 * Makes a handler of messages whose calls the middlewares see.
 *
 * @param uses The middlewares.
 * @param handler The user's handler.
 * @returns The handler to call.
 */
export function processing<T>(
  uses: Using,
  handler: (message: Message<T>) => void | Promise<void>,
): (message: Message<T>) => void | Promise<void> {
  if (uses === undefined || typeof handler !== "function") return handler;
  return (message) => {
    const { hooks } = uses;
    const hook = hooks?.process;
    if (hook === undefined) return handler(message);
    return hooks?.observer === undefined
      ? processed(hook, handler, message)
      : observed(hooks.observer, handler, message);
  };
}

/** Calls a handler that an observer watches. One that returns at once costs no promise. */
function observed<T>(
  observer: Observer,
  handler: (message: Message<T>) => void | Promise<void>,
  message: Message<T>,
): void | Promise<void> {
  const watch = observer.process(message);
  if (watch === undefined) return handler(message);
  let running: void | Promise<void>;
  try {
    running = watch.call(handler, message);
  } catch (error) {
    watch.failed(error);
    throw error;
  }
  return isThenable(running)
    ? watched(Promise.resolve(running), watch)
    : watch.ended();
}

/** Calls a handler of a message, or of several, within a hook. Apart, for a function that makes functions costs more even where it makes none. */
function processed<M>(
  hook: (given: M, next: () => void | Promise<void>) => void | Promise<void>,
  handler: (given: M) => void | Promise<void>,
  given: M,
): void | Promise<void> {
  return hook(given, () => handler(given));
}

/**
 * As {@linkcode processing}, for a handler of requests, which returns their answers.
 *
 * @param uses The middlewares.
 * @param handler The user's handler.
 * @returns The handler to call; where a middleware has not called the user's, there is no answer.
 */
export function answering<T, C, A>(
  uses: Using,
  handler: (request: Message<T>, context: C) => A | Promise<A>,
): (request: Message<T>, context: C) => A | undefined | Promise<A | undefined> {
  if (uses === undefined || typeof handler !== "function") return handler;
  return (request, context) => {
    const hook = uses.hooks?.process;
    return hook === undefined
      ? handler(request, context)
      : answered(hook, handler, request, context);
  };
}

async function answered<T, C, A>(
  hook: ProcessHook,
  handler: (request: Message<T>, context: C) => A | Promise<A>,
  request: Message<T>,
  context: C,
): Promise<A | undefined> {
  let answer: A | undefined;
  await hook(request, async () => {
    answer = await handler(request, context);
  });
  return answer;
}

/**
 * As {@linkcode processing}, for a handler of several messages.
 *
 * @param uses The middlewares.
 * @param handler The user's handler.
 * @returns The handler to call.
 */
export function processingBatch<T>(
  uses: Using,
  handler: (messages: readonly Message<T>[]) => void | Promise<void>,
): (messages: readonly Message<T>[]) => void | Promise<void> {
  if (uses === undefined || typeof handler !== "function") return handler;
  return (messages) => {
    const hook = uses.hooks?.processBatch;
    return hook === undefined
      ? handler(messages)
      : processed(hook, handler, messages);
  };
}
