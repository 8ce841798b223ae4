import type { Binding } from "../../model/binding.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import {
  bindingOf,
  DELIVERY_EXCHANGE,
  levelName,
  LEVELS,
  PREFIX,
  TO_EXCHANGE,
} from "./delay.ts";

/*
 * The exchanges and queues that delayed messages wait in and go through. A queue that
 * dead-letters as RabbitMQ does by itself loses what expires while the next queue's node is
 * away, or its leader is being elected. So the levels are quorum queues that dead-letter at
 * least once: what no queue has confirmed they keep. That alone would hold them up where no
 * queue takes a message, for they have no more than 32 on their way: what finds no target
 * goes to the queue `dashi_delayed_missed`, from where it is tried again once, for a
 * classic queue's node may come back; and what goes to an exchange goes to a queue that
 * drops it, too.
 */

/** Takes what finds no target. */
const MISSED = `${PREFIX}missed`;
/** Takes the messages to exchanges, so that one queue does, and drops them. */
const SINK = `${PREFIX}sink`;

/** How long what found no target waits there, ms: as long as a node takes to restart. */
const MISSED_TTL = 60_000;

/** One step of declaring what delays need. */
export type DelayStep =
  | { readonly type: "exchange"; readonly exchange: ExchangeDeclaration }
  | {
    readonly type: "queue";
    readonly queue: QueueDeclaration;
    /** The queue for brokers that refuse that one. */
    readonly plain: QueueDeclaration;
  }
  | { readonly type: "binding"; readonly binding: Binding };

/** The exchange that is declared first: whether the broker takes it tells how the rest is. */
export const FIRST_STEP: DelayStep & { readonly type: "exchange" } = {
  type: "exchange",
  exchange: {
    ...exchangeOf(DELIVERY_EXCHANGE),
    arguments: { "alternate-exchange": MISSED },
  },
};

/**
 * Lists what delays need, in the order in which it is to be declared.
 *
 * @returns The steps, {@linkcode FIRST_STEP} left out.
 */
export function* delaySteps(): Generator<DelayStep> {
  yield {
    type: "exchange",
    exchange: { ...exchangeOf(MISSED), type: "fanout" },
  };
  yield queueStep(MISSED, {
    "x-message-ttl": MISSED_TTL,
    "x-dead-letter-exchange": DELIVERY_EXCHANGE,
  }, {});
  yield queueStep(SINK, { "x-message-ttl": 0 }, {});
  yield {
    type: "binding",
    binding: bindingOf(MISSED, { kind: "queue", name: MISSED }, {}),
  };
  yield {
    type: "binding",
    binding: bindingOf(DELIVERY_EXCHANGE, { kind: "queue", name: SINK }, {
      [TO_EXCHANGE]: true,
    }),
  };
  yield* levelSteps();
}

/** All that is needed where the broker cannot delay: messages that go back with other headers go by it. */
export const DELIVERY_STEP: DelayStep = {
  type: "exchange",
  exchange: exchangeOf(DELIVERY_EXCHANGE),
};

/**
 * Lists what delays need where {@linkcode FIRST_STEP} is refused: the exchange of an
 * earlier version is there.
 *
 * @returns The steps.
 */
export function* earlierSteps(): Generator<DelayStep> {
  yield DELIVERY_STEP;
  for (const step of levelSteps()) {
    yield step.type === "queue" ? { ...step, queue: step.plain } : step;
  }
}

function* levelSteps(): Generator<DelayStep> {
  for (let level = 0; level < LEVELS; level++) {
    const name = levelName(level);
    const next = level === 0 ? DELIVERY_EXCHANGE : levelName(level - 1);
    yield { type: "exchange", exchange: exchangeOf(name) };
    yield queueStep(name, {
      "x-message-ttl": 2 ** level * 1000,
      "x-dead-letter-exchange": next,
    }, {
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
    });
    for (
      const [digit, kind, to] of [[1, "queue", name], [
        0,
        "exchange",
        next,
      ]] as const
    ) {
      yield {
        type: "binding",
        binding: bindingOf(name, { kind, name: to }, { [name]: digit === 1 }),
      };
    }
  }
}

function queueStep(
  name: string,
  plain: QueueDeclaration["arguments"],
  quorum: QueueDeclaration["arguments"],
): DelayStep {
  const queue = {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: plain,
  };
  return {
    type: "queue",
    queue: {
      ...queue,
      arguments: { ...plain, ...quorum, "x-queue-type": "quorum" },
    },
    plain: queue,
  };
}

function exchangeOf(name: string): ExchangeDeclaration {
  return {
    name,
    type: "headers",
    durable: true,
    autoDelete: false,
    internal: false,
    arguments: {},
  };
}
