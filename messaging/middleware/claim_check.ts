import {
  DecodeError,
  MessagingError,
  OptionError,
} from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { quote } from "../../model/foreign_text.ts";
import { deathsOf } from "../consume/deaths.ts";
import type { Message } from "../consume/message_type.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, checkInterval } from "../operation_options.ts";
import type { ClaimStore } from "./claim_store.ts";
import type { IncomingChanges, IncomingMessage } from "./hooks.ts";
import type { Middleware } from "./middleware.ts";
import {
  ALONE,
  bears,
  CLAIMED,
  laySo,
  refuseWrapped,
  textIn,
  unwrap,
  without,
  wrap,
} from "./wrapping.ts";

/** Options of {@linkcode claimCheck}. */
export interface ClaimCheckOptions {
  /** Where bodies are kept. */
  readonly store: ClaimStore;
  /** Bodies of more bytes than this are put there. @default {65_536} */
  readonly over?: number | undefined;
  /**
   * How long a body is kept, ms, counted from when its message may be delivered: longer than
   * any message waits, as a dead letter too. @default {1_209_600_000: 14 days}
   */
  readonly expiry?: number | undefined;
}

const CLAIM_CHECK: KnownOptions = optionsOf<ClaimCheckOptions>("claimCheck", {
  store: "object",
  over: true,
  expiry: true,
}, { threshold: '"over"', ttl: '"expiry"', expires: '"expiry"' });

const FORTNIGHT = 14 * 24 * 3_600_000;

const EMPTY = new Uint8Array();

/**
 * Keeps large bodies in a store, and publishes where they are. Consumers need the same
 * middleware, and a store that finds them; others cannot read such a message.
 *
 * A body is removed when its message was acked, if that was published to a queue by its name
 * without `CC` and `BCC`, and went through no exchange of dead letters: then no other queue
 * has it. All others, those of consumers with `autoAck`, and of acks of several at once too,
 * stay until their `expiry`. Retries and dead letters keep it. A body that is gone makes its
 * message one that cannot be read: of two copies of a message that was published again after
 * a lost connection, the second may be parked so. Use it after {@linkcode encryption}, and
 * what is in the store is encrypted.
 *
 * @param options The store, and from which size on.
 * @returns The middleware.
 * @throws {OptionError} If an option is unknown, or there is no store.
 * @throws {RangeError} If a number is out of range.
 *
 * @example A small message, and a large one
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { claimCheck, createMemoryClaimStore } from "@dashi/mq/middleware";
 *
 * const store = createMemoryClaimStore();
 * await using connection = createConnection("memory://claims");
 * connection.use(claimCheck({ store, over: 1000 }));
 * const scans = new Queue<Uint8Array>("scans");
 * await connection.send(scans, new Uint8Array(10));
 * await connection.send(scans, new Uint8Array(10_000));
 * assertEquals(store.size, 1);
 * const consumer = connection.consumer(scans);
 * const sizes: number[] = [];
 * await consumer.run(({ payload }) => {
 *   if (sizes.push(payload.length) === 2) void consumer.cancel();
 * });
 * assertEquals(sizes, [10, 10_000]);
 * assertEquals(store.size, 0);
 * ```
 */
export function claimCheck(options: ClaimCheckOptions): Middleware {
  const { store, over = 65_536, expiry = FORTNIGHT } = checkOptions(options);
  /** The bodies that go with an ack. */
  const ours = new WeakMap<Message<unknown>, string>();

  const drop = async (reference: string) => {
    try {
      await store.remove(reference);
    } catch {
      // It goes when its time is over.
    }
  };

  const fetch = async (incoming: IncomingMessage): Promise<IncomingChanges> => {
    const { headers, queue, message } = incoming;
    const reference = textIn(headers, CLAIMED.header) ?? "";
    // Many stores, written without types, say null.
    const body: unknown = await store.get(reference);
    if (body === undefined || body === null) {
      throw new DecodeError(
        `Cannot read a message of queue "${queue}": its body is not in the claim store, or not any more: its time is over, or another copy of the message was acked`,
      );
    }
    checkBody(body);
    if (isAlone(incoming)) {
      if (message !== undefined) ours.set(message, reference);
      else await drop(reference); // the answer to a request, which nobody settles
    }
    return unwrap(CLAIMED, incoming, body);
  };

  return {
    async publish(message, next) {
      const { origin, headers, body, exchange, delay } = message;
      if (laySo(origin) && bears(CLAIMED, headers)) return await next();
      refuseWrapped(CLAIMED, message, "claimCheck");
      if (body.length <= over) {
        const own = without(CLAIMED, headers);
        return await (own === headers ? next() : next({ headers: own }));
      }
      const reference = await store.put(body, { expiry: expiry + delay });
      checkReference(reference);
      try {
        await next(wrap(CLAIMED, message, EMPTY, {
          [CLAIMED.header]: reference,
          ...(toOne(exchange, headers) ? { [ALONE]: true } : {}),
        }));
      } catch (error) {
        // Only a message that is surely nowhere needs its body no more.
        if (error instanceof MessagingError && error.outcome === "not-sent") {
          await drop(reference);
        }
        throw error;
      }
    },
    receive(message) {
      if (bears(CLAIMED, message.headers)) return fetch(message);
    },
    settle({ action, message }, next) {
      const reference = action === "ack" ? ours.get(message) : undefined;
      return reference === undefined
        ? next()
        : next().then(() => store.remove(reference));
    },
  };
}

/** Without one the body would be lost. */
function checkReference(given: unknown): void {
  if (typeof given === "string" && given !== "") return;
  throw new OptionError(
    `Cannot publish a reference to a body: put() of the "store" of claimCheck has returned ${
      quote(given)
    }; it must return a text that get() finds the body by`,
    { outcome: "not-sent" },
  );
}

function checkBody(given: unknown): asserts given is Uint8Array {
  if (given instanceof Uint8Array) return;
  throw new OptionError(
    `Cannot read a body from a claim store: get() of the "store" of claimCheck has returned ${
      quote(given)
    }; it must return a Uint8Array, or undefined where there is none`,
  );
}

/** Whether a message is published to one queue: `CC` and `BCC` name more of them. */
function toOne(exchange: string, { CC, BCC }: FieldTable): boolean {
  return exchange === "" && CC === undefined && BCC === undefined;
}

/** Whether no other queue can have a message. */
function isAlone({ headers, exchange }: IncomingMessage): boolean {
  return headers[ALONE] === true && exchange === "" &&
    deathsOf(headers).length === 0 && headers["x-stream-offset"] === undefined;
}

function checkOptions(options: ClaimCheckOptions): ClaimCheckOptions {
  checkKnown(options, CLAIM_CHECK);
  const { store, over, expiry } = options ?? {};
  const verbs = ["put", "get", "remove"];
  const given: unknown = store;
  const isStore = typeof given === "object" && given !== null &&
    verbs.every((verb) => typeof Reflect.get(given, verb) === "function");
  if (!isStore) {
    throw new OptionError(
      `Cannot use ${quote(given)} as the "store" of claimCheck: it must have ${
        verbs.join(", ")
      }`,
    );
  }
  if (over !== undefined) checkCount("over", over, Number.MAX_SAFE_INTEGER);
  if (expiry !== undefined) checkInterval("expiry", expiry);
  return options;
}
