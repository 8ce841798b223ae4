// deno-lint-ignore-file no-console -- the one place where the library may speak by itself
import type { Clock } from "../../async/clock.ts";
import { errorText } from "../../model/error_text.ts";
import { printable } from "../../model/foreign_text.ts";
import { DecodeError, SettlementError } from "../../model/errors.ts";
import { atExit } from "./at_exit.ts";
import type { ConnectionEvent } from "./connection_state.ts";
import { why } from "./loop_watch.ts";
import type { Aftermath } from "../consume/run_options.ts";

/** Called with what nobody listens to. */
export type UnhandledListener = (event: ConnectionEvent) => void;

/** One event of each kind is logged in so many milliseconds; the others are counted. */
const INTERVAL = 60_000;

/** So many queues or exchanges of the counted events are named. */
const MAX_NAMED = 5;

/** The events of one kind that were logged, and those counted since. */
interface Told {
  readonly type: ConnectionEvent["type"];
  at: number;
  silent: number;
  /** The queues or exchanges of those that were counted, the first of them. */
  readonly where: Set<string>;
}

/**
 * Tells of what went wrong where nobody listens: to the option `onUnhandled`, or else in
 * one line on the console, at most once a minute for each kind. The others are counted,
 * and their count is told with the next line of the kind; when the connection is closed,
 * or its process ends, one line has all counts that are left.
 */
export class Unhandled {
  readonly #clock: Clock;
  readonly #listener: UnhandledListener | undefined;
  readonly #told = new Map<string, Told>();
  /** Failures for which a message is given up, until it is known what becomes of it: that is one line. */
  readonly #held = new Map<string, FailedHandler>();
  /** Cancels the report at the end of the process. */
  #stay: (() => void) | undefined;

  /** Makes one that has told nothing yet. */
  constructor(clock: Clock, listener: UnhandledListener | undefined) {
    this.#clock = clock;
    this.#listener = listener;
  }

  /** Tells of an event, if it is one of something that went wrong. */
  tell(event: ConnectionEvent): void {
    if (this.#listener !== undefined) this.#call(this.#listener, event);
    else if (isFinal(event)) this.#hold(event);
    else {
      const failure = this.#letGo(event);
      // Of the others that tell what has become of a message each has its error.
      if (failure !== undefined && !OUTCOMES.has(event.type)) {
        this.#log(failure);
      }
      this.#log(event);
    }
  }

  #call(listener: UnhandledListener, event: ConnectionEvent): void {
    if (describe(event) === undefined) return;
    // It must not end the connection whose event it gets.
    const failed = (error: unknown) =>
      console.error(
        `@dashi/mq: "onUnhandled" threw: ${printable(errorText(error))}`,
      );
    try {
      const told: unknown = listener(event);
      if (told instanceof Promise) told.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #hold(event: FailedHandler): void {
    const before = this.#letGo(event);
    if (before !== undefined) this.#log(before);
    this.#held.set(keyOf(event), event);
    this.#stay ??= atExit(() => this.flush());
  }

  /** Returns the failure that an event is of the same message as, which is held no more. */
  #letGo(event: ConnectionEvent): FailedHandler | undefined {
    if (this.#held.size === 0 || !("messageId" in event)) return undefined;
    const key = keyOf(event);
    const held = this.#held.get(key);
    this.#held.delete(key);
    return held;
  }

  #log(event: ConnectionEvent): void {
    const text = describe(event);
    if (text === undefined) return;
    const kind = kindOf(event);
    const now = this.#clock.now();
    const before = this.#told.get(kind);
    if (before !== undefined && now - before.at < INTERVAL) {
      before.silent++;
      const where = whereOf(event);
      if (where !== undefined && before.where.size <= MAX_NAMED) {
        before.where.add(where);
      }
      this.#stay ??= atExit(() => this.flush());
      return;
    }
    const more = before === undefined || before.silent === 0
      ? ""
      : ` (and ${before.silent} more of the kind before${among(before)})`;
    this.#told.set(kind, {
      type: event.type,
      at: now,
      silent: 0,
      where: new Set(),
    });
    console.error(`@dashi/mq: ${printable(text, 500)}${more}`);
  }

  /** Reports, in one line, the events that were only counted: nothing more comes. */
  flush(): void {
    const held = [...this.#held.values()];
    this.#held.clear();
    for (const each of held) this.#log(each);
    this.#stay?.();
    this.#stay = undefined;
    const byType = new Map<string, Pick<Told, "silent" | "where">>();
    for (const told of this.#told.values()) {
      if (told.silent === 0) continue;
      const sum = byType.get(told.type) ?? { silent: 0, where: new Set() };
      sum.silent += told.silent;
      for (const each of told.where) sum.where.add(each);
      byType.set(told.type, sum);
      told.silent = 0;
      told.where.clear();
    }
    if (byType.size === 0) return;
    const counts = [...byType].map(([type, sum]) =>
      `${sum.silent} more of "${type}"${among(sum)}`
    );
    console.error(
      `@dashi/mq: not told one by one: ${
        counts.join("; ")
      } (connection.events() and "onUnhandled" tell each)`,
    );
  }
}

/** Events that say why a message is given up, and what has become of it. */
const OUTCOMES: ReadonlySet<ConnectionEvent["type"]> = new Set<
  ConnectionEvent["type"]
>(["parked", "rejected", "dropped", "quarantined"]);

/** A handler that has failed. */
type FailedHandler = Extract<ConnectionEvent, { type: "handler-failed" }>;

/** Whether the message is tried no more: another event says what has become of it. */
function isFinal(event: ConnectionEvent): event is FailedHandler {
  return event.type === "handler-failed" &&
    (event.next?.type === "park" || event.next?.type === "reject" ||
      event.next?.type === "drop");
}

/** Tells messages apart. */
function keyOf(
  event: { readonly messageId: string | undefined; readonly queue?: unknown },
): string {
  return `${event.queue}\n${event.messageId}`;
}

/** Names the queues or exchanges of the events that were counted. */
function among({ where }: Pick<Told, "where">): string {
  if (where.size === 0) return "";
  const named = [...where].slice(0, MAX_NAMED);
  const rest = where.size > named.length ? " and others" : "";
  return `, ${named.join(", ")}${rest}`;
}

/** The queue or the exchange of an event, in words. */
function whereOf(event: ConnectionEvent): string | undefined {
  if ("queue" in event) {
    return event.queue === "" || event.queue === undefined
      ? undefined
      : `queue "${printable(event.queue)}"`;
  }
  return "exchange" in event
    ? `exchange "${printable(event.exchange)}"`
    : undefined;
}

function kindOf(event: ConnectionEvent): string {
  switch (event.type) {
    case "state":
      return event.state.type;
    case "unroutable": // by the key there could be very many
      return `${event.type} ${event.exchange}`;
    default:
      return event.type;
  }
}

/** Describes a failure, its place and its consequence; `undefined` if the event is none. */
function describe(event: ConnectionEvent): string | undefined {
  switch (event.type) {
    case "state":
      // The first attempt that fails is logged; later ones say no more.
      return event.state.type === "waiting" && event.state.attempt === 1
        ? `${event.state.error.message}; trying again`
        : undefined;
    case "lost":
      return `${event.error.message}; connecting again`;
    case "event-loop-blocked":
      return why(event.duration);
    case "blocked":
      return `the broker takes no messages for now: ${event.reason}`;
    case "quarantined":
      return `a message${
        idOf(event)
      } of queue "${event.queue}" is in quarantine: ${event.error.message}`;
    case "declare-failed":
      return `"${event.entity.name}" cannot be declared again: ${event.error.message}; trying again later`;
    case "consume-failed":
      return `queue "${event.queue}" cannot be consumed from: ${event.error.message}; trying again in ${
        Math.round(event.delay)
      } ms`;
    case "handler-failed":
      if (event.next === undefined && event.error instanceof SettlementError) {
        return `a message${
          idOf(event)
        } of queue "${event.queue}" is not settled here: ${event.error.message}`;
      }
      return event.error instanceof DecodeError
        ? `a message${
          idOf(event)
        } of queue "${event.queue}" is refused: ${event.error.message}${
          becomes(event.next)
        }`
        : `the handler of queue "${event.queue}" failed for a message${
          idOf(event)
        }: ${event.error.message}${becomes(event.next)}`;
    case "parked":
      return `a message${idOf(event)} of queue "${event.queue}" is ${
        event.attempts === 0 ? "refused, and " : ""
      }parked in ${event.to.kind} "${event.to.name}"${
        after(event.attempts)
      }: ${event.error.message}`;
    case "unroutable":
      return `a message${
        idOf(event)
      } to exchange "${event.exchange}" with routing key "${event.routingKey}" reached no queue, and is gone; bind a queue, or publish with "mandatory: true" to make it an error, or with "mandatory: false" if it may be so`;
    case "dropped":
      return `a message${
        idOf(event)
      } of queue "${event.queue}" is dropped: ${event.error.message}`;
    case "rejected":
      return `a message${
        idOf(event)
      } of queue "${event.queue}" is rejected: ${event.error.message}; the broker dead-letters it if the queue or a policy says so, else it is gone`;
    case "dead-lettered":
    case "duplicate":
    case "consumer-paused":
    case "consumer-resumed":
    case "breaker-closed":
      return undefined;
    case "breaker-opened":
      return `the circuit breaker of ${
        named(event.queues)
      } is open until ${event.until.toISOString()}: ${event.error.message}`;
    case "close-waits":
      return `close() waits for ${event.handlers} ${
        event.handlers === 1 ? "handler" : "handlers"
      } of ${named(event.queues)}, up to ${
        Math.round(event.timeLeft / 1000)
      } s more (a handler that awaits close() waits for itself: call it before the first await, or consumer.cancel())`;
    case "outbox-failed":
      return `${
        event.messageId === undefined
          ? `outbox "${event.outbox}" cannot be read`
          : `message "${
            printable(event.messageId)
          }" of outbox "${event.outbox}" cannot be published`
      }: ${event.error.message}; trying again in ${Math.round(event.delay)} ms`;
    case "schedule-failed":
      return `a tick of schedule "${event.name}" cannot be published: ${event.error.message}; trying again in ${
        Math.round(event.delay)
      } ms`;
    case "schedule-superseded":
      return `schedule "${event.name}" is not as it was given here, with version ${event.version}: ${
        event.removed
          ? `it was removed; a version above ${event.by} brings it back`
          : `another definition holds, with version ${event.by}; give this one a higher version if it is newer`
      }`;
    case "middleware-failed":
      return `a middleware's "${event.hook}" failed${
        event.queue === undefined
          ? ""
          : ` for a message${idOf(event)} of queue "${event.queue}"`
      }: ${event.error.message}; nothing else becomes of it`;
    case "unblocked":
      return undefined;
  }
}

function named(queues: readonly string[]): string {
  return queues.map((queue) => `"${queue}"`).join(", ");
}

/** A message that is refused was given to no handler. */
function after(attempts: number): string {
  if (attempts === 0) return "";
  return ` after ${attempts} ${attempts === 1 ? "attempt" : "attempts"}`;
}

function becomes(next: Aftermath | undefined): string {
  switch (next?.type) {
    case "retry":
      return `; it is tried again ${
        next.delay === 0
          ? "at once"
          : `in ${Math.round(next.delay / 100) / 10} s`
      } (attempt ${next.attempt} of ${next.attempts})`;
    case "park":
      return "; it is to be parked";
    case "reject":
      return "; it is to be rejected";
    case "requeue":
      return "; it goes back to its queue";
    case "drop":
      return "; it is dropped";
    case undefined:
      return "";
  }
}

function idOf({ messageId }: { readonly messageId: string | undefined }) {
  return messageId === undefined ? "" : ` (${messageId})`;
}
