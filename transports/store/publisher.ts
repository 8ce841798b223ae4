import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { checkPublishing } from "../../model/checks.ts";
import { PublishError, UnsupportedError } from "../../model/errors.ts";
import type { Dedupe, Publishing } from "../../model/message.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import { withoutBcc } from "../../virtual/route.ts";
import { notAnswered } from "../connection_errors.ts";
import type { PublishOutcome } from "../transport.ts";
import {
  refuseDedupe,
  refusePublishing,
  refuseTransaction,
} from "./capabilities.ts";
import type { DeadLetters } from "./dead_letters.ts";
import { lookForQueue } from "./known_queues.ts";
import type { ReplyQueues } from "./reply_queues.ts";
import { itemsFor, type Routed, type Router } from "./router.ts";
import type { Ripener } from "./ripener.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import {
  type BroadcastOptions,
  type BroadcastResult,
  type BroadcastStore,
  DUPLICATE,
  type MessageStore,
  type PutResult,
} from "./store.ts";

const RETURNED = { type: "returned", replyText: "NO_ROUTE" } as const;
/** Somebody listened, whose queues are not ours to count. */
const SENT: PublishOutcome = { type: "accepted", queues: undefined };

/**
 * Routes messages and puts their copies. A message whose route is known costs no
 * more than the store's `put`.
 */
export class Publisher {
  readonly #store: StoreWithTopology;
  readonly #messages: MessageStore;
  readonly #broadcasts: BroadcastStore | undefined;
  readonly #router: Router;
  readonly #limits: Limits;
  readonly #deadLetters: DeadLetters;
  readonly #ripener: Ripener;
  readonly #replies: ReplyQueues | undefined;

  /** Makes one for all channels of a connection. */
  constructor(
    store: StoreWithTopology,
    router: Router,
    limits: Limits,
    deadLetters: DeadLetters,
    ripener: Ripener,
    replies?: ReplyQueues,
  ) {
    this.#store = store;
    this.#messages = store.messages;
    this.#broadcasts = store.broadcasts;
    this.#router = router;
    this.#limits = limits;
    this.#deadLetters = deadLetters;
    this.#ripener = ripener;
    this.#replies = replies;
  }

  /** Publishes a message. */
  publish(message: Publishing, options?: CallOptions): Promise<PublishOutcome> {
    try {
      if (options?.fresh !== true) this.#refuseLate(message, options);
      checkPublishing(message);
      const refused = refuseTransaction(this.#store, message) ??
        refusePublishing(this.#store.capabilities, message) ??
        refuseDedupe(this.#store, message) ??
        this.#tooLarge(message);
      if (refused !== undefined) return Promise.reject(refused);
      if (message.transaction !== undefined) {
        return this.#putWithin(message, message.transaction, options);
      }
      const routed = this.#router.find(message);
      return routed === undefined
        ? this.#routeAndPut(message, options)
        : this.#put(message, routed, options);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Apart, for a function that makes functions costs more even where it makes none. */
  #refuseLate(message: Publishing, options?: CallOptions): void {
    this.#limits.check(options, () => describe(message));
  }

  #routeAndPut(
    message: Publishing,
    options?: CallOptions,
  ): Promise<PublishOutcome> {
    return this.#router.route(
      message,
      options,
      (routed) => this.#put(message, routed, options, withoutBcc(message)),
    );
  }

  /** Puts a message as it is sent: without the headers that its recipients must not see. */
  #put(
    message: Publishing,
    routed: Routed,
    options?: CallOptions,
    sent: Publishing = message,
  ): Promise<PublishOutcome> {
    if (message.dedupe !== undefined && routed.broadcasts.length > 0) {
      return Promise.reject(noBroadcast(message));
    }
    if (routed.queues.length === 0) {
      const { unknown } = routed;
      const isNowhere = unknown === undefined ||
        (message.mandatory && !this.#replies?.has(message.routingKey));
      if (isNowhere) {
        return this.#nowhere(message, routed, options, sent);
      }
      routed = unknown;
    }
    const put = message.dedupe === undefined
      ? this.#messages.put(itemsFor(sent, routed), {
        version: this.#router.checkOf(routed),
        signal: options?.signal,
        deadline: options?.deadline,
        announced: routed.announced,
      })
      : this.#putOnce(message, routed, message.dedupe, sent, options);
    return put.then((result) => {
      // Not before: the store cannot promote messages that it does not have yet.
      this.#ripener.notePut(routed.queues, message.delay);
      return result.type === "put" && result.displaced.length === 0 &&
          routed.broadcasts.length === 0
        ? routed.outcome
        : this.#finish(message, routed, result, options, sent);
    });
  }

  /** Puts a message in a transaction of the caller's, by the tables as they are there. */
  #putWithin(
    message: Publishing,
    transaction: SqlTransaction,
    options?: CallOptions,
  ): Promise<PublishOutcome> {
    const { transactions } = this.#store;
    if (transactions === undefined) throw new TypeError("it was refused");
    const putting = transactions.enter(transaction, async ({ view, put }) => {
      const routed = this.#router.routeBy(view, message);
      if (routed.queues.length > 0) {
        await put(itemsFor(withoutBcc(message), routed));
        return routed.outcome;
      }
      return message.mandatory ? RETURNED : routed.outcome;
    });
    return this.#limits.wait(
      putting,
      options,
      () => notAnswered(describe(message), "unknown", "the transaction"),
    );
  }

  /** Puts a message unless another has left its mark. */
  #putOnce(
    { exchange, routingKey }: Publishing,
    routed: Routed,
    { id, window, token }: Dedupe,
    sent: Publishing,
    options?: CallOptions,
  ): Promise<PutResult> {
    const key = [exchange, routingKey, id].map(nameOf).join("/");
    const mark = { key, window, token };
    for (const { queue } of routed.queues) {
      const refused = this.#messages.refuseMark?.(queue, mark);
      if (refused !== undefined) return Promise.reject(refused);
    }
    return this.#messages.put(itemsFor(sent, routed), {
      version: this.#router.checkOf(routed),
      signal: options?.signal,
      deadline: options?.deadline,
      announced: routed.announced,
      mark,
    });
  }

  async #finish(
    message: Publishing,
    routed: Routed,
    result: PutResult,
    options: CallOptions | undefined,
    sent: Publishing,
  ): Promise<PublishOutcome> {
    switch (result.type) {
      case "put":
        await this.#deadLetters.moveAll(result.displaced, "maxlen", options);
        await this.#broadcast(sent, routed, options);
        return routed.outcome;
      case "duplicate":
        return DUPLICATE;
      case "full":
        throw new PublishError(
          `Cannot ${describe(message)}: a queue is full, and refuses more`,
          { code: "publish-refused", retryable: true },
        );
      case "stale":
      case "lost": // cannot be: nothing was to be removed instead
        // The tables changed since the route was decided.
        return await this.#routeAnew(message, routed, options);
    }
  }

  async #nowhere(
    message: Publishing,
    routed: Routed,
    options: CallOptions | undefined,
    sent: Publishing,
  ): Promise<PublishOutcome> {
    if (routed.broadcasts.length > 0) {
      const result = await this.#broadcast(sent, routed, {
        ...options,
        version: this.#router.checkOf(routed),
      });
      if (result?.type !== "stale") {
        if (result?.type !== "sent") return routed.outcome;
        if (result.receivers > 0) return SENT;
        return message.mandatory ? RETURNED : routed.outcome;
      }
      return await this.#routeAnew(message, routed, options);
    }
    if (await this.#router.isOld(message, routed, options)) {
      return await this.#routeAnew(message, routed, options);
    }
    if (!message.mandatory) return routed.outcome;
    if (message.exchange !== "") return RETURNED;
    const { routingKey } = message;
    const queue = await lookForQueue(this.#store, routingKey, options);
    return queue.isThere
      ? await this.#routeAnew(message, routed, options)
      : { ...RETURNED, nearest: queue.nearest };
  }

  #routeAnew(
    message: Publishing,
    routed: Routed,
    options?: CallOptions,
  ): Promise<PublishOutcome> {
    this.#refuseLate(message, options);
    this.#router.forget(message, routed);
    return this.#routeAndPut(message, options);
  }

  async #broadcast(
    message: Publishing,
    routed: Routed,
    options?: BroadcastOptions,
  ): Promise<BroadcastResult> {
    const [first, ...others] = routed.broadcasts;
    if (first === undefined) return;
    const result = await this.#broadcasts?.send(first, message, options);
    if (result?.type === "stale") return result;
    const { signal, deadline } = options ?? {};
    let receivers = result?.receivers;
    for (const exchange of others) {
      const limits = { signal, deadline };
      const next = await this.#broadcasts?.send(exchange, message, limits);
      if (receivers === undefined || next?.type !== "sent") continue;
      receivers += next.receivers;
    }
    return receivers === undefined ? undefined : { type: "sent", receivers };
  }

  #tooLarge(message: Publishing): PublishError | undefined {
    const { itemBytes } = this.#store.limits;
    if (message.body.byteLength <= itemBytes) return undefined;
    return new PublishError(
      `Cannot ${
        describe(message)
      }: its body has ${message.body.byteLength} bytes, the broker takes ${itemBytes} at most`,
      { code: "message-too-large" },
    );
  }
}

/** A part of a mark's name, without a slash in it. */
function nameOf(text: string): string {
  return encodeURIComponent(text.toWellFormed());
}

function noBroadcast(message: Publishing): UnsupportedError {
  return new UnsupportedError(
    `Cannot ${
      describe(message)
    } with dedupe: this broker broadcasts what that exchange is sent, and keeps no mark of it; publish to an exchange of another type`,
  );
}

function describe(message: Publishing): string {
  return message.exchange === ""
    ? `publish to queue "${message.routingKey}"`
    : `publish to exchange "${message.exchange}" with routing key "${message.routingKey}"`;
}
