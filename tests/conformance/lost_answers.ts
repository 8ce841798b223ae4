import assert from "node:assert/strict";
import { TimeoutError } from "../../mod.ts";
import { isStoreTransport } from "../../transports/store/mod.ts";
import type {
  DeliveryTag,
  QueueDeclaration,
} from "../../transports/transport.ts";
import { failedQueue } from "../../virtual/mod.ts";
import { Broker } from "./broker.ts";
import { type ConformanceCase, onHarness } from "./case.ts";
import { restore, unreadable } from "./failing_apart.ts";
import type { Harness } from "./harness.ts";
import { type Verb, withParts } from "./parts.ts";
import { arrives, rejectsWith, soon, textOf } from "./support.ts";

/** A settlement, and what it comes to. */
interface Settlement {
  readonly name: string;
  /** The verbs of the store that do it, whichever it has. */
  readonly verbs: readonly Verb[];
  /** Where its message is to be found then, once; `undefined`: nowhere. */
  readonly to?: (names: Names) => string;
  /** Does it; returns what it tells. */
  readonly settle: (broker: Broker, what: Settled) => Promise<unknown>;
  /** What that is. @default {undefined} */
  readonly tells?: (names: Names) => unknown;
}

/** The queues of a case. */
interface Names {
  readonly queue: string;
  readonly dead: string;
  readonly failed: string;
}

/** What is settled, and its queue as it was declared. */
interface Settled {
  readonly tag: DeliveryTag;
  readonly declared: QueueDeclaration;
}

/** The name of the message whose queue has dead letters. */
const DEAD = "a dead letter";

const park = ({ channel }: Broker, { tag, declared }: Settled) =>
  channel.park(tag, {
    headers: { "x-error-message": "bad luck" },
    declared,
    ...soon(),
  });

const SETTLEMENTS: readonly Settlement[] = [
  {
    name: "an ack",
    verbs: ["messages.remove"],
    settle: ({ channel }, { tag }) => channel.ack(tag, soon()),
  },
  {
    name: "a requeue",
    verbs: ["messages.release"],
    to: ({ queue }) => queue,
    settle: ({ channel }, { tag }) =>
      channel.reject(tag, { requeue: true, ...soon() }),
  },
  {
    name: "a requeue with other headers",
    verbs: ["messages.put"],
    to: ({ queue }) => queue,
    settle: ({ channel }, { tag }) =>
      channel.reject(tag, { requeue: true, headers: { a: "b" }, ...soon() }),
  },
  {
    name: "a reject",
    verbs: ["messages.remove", "messages.drop"],
    settle: ({ channel }, { tag }) =>
      channel.reject(tag, { requeue: false, ...soon() }),
  },
  {
    name: DEAD,
    verbs: ["messages.put"],
    to: ({ dead }) => dead,
    settle: ({ channel }, { tag }) =>
      channel.reject(tag, { requeue: false, ...soon() }),
  },
  {
    name: "a message that is parked",
    verbs: ["messages.put"],
    to: ({ failed }) => failed,
    settle: park,
    tells: ({ failed }) => ({
      type: "parked",
      to: { kind: "queue", name: failed },
    }),
  },
];

/** Lets a store do what it is asked for, and once, when it is told to, not say so. */
class Deaf {
  readonly #verbs: readonly string[];
  isArmed = false;
  /** How many answers were lost. */
  lost = 0;

  constructor(verbs: readonly string[]) {
    this.#verbs = verbs;
  }

  readonly intercept = (verb: string, call: () => unknown): unknown => {
    if (!this.isArmed || !this.#verbs.includes(verb)) return call();
    this.isArmed = false;
    this.lost++;
    return Promise.resolve(call()).then(() => {
      throw new TimeoutError("The case loses the answer", {
        outcome: "unknown",
      });
    });
  };
}

/** Runs a case on a store whose answers to some verbs are lost. */
async function withDeaf(
  harness: Harness,
  verbs: readonly Verb[],
  run: (broker: Broker, deaf: Deaf) => Promise<void>,
  changes: typeof unreadable = () => ({}),
): Promise<void> {
  const { transport } = harness;
  assert.ok(isStoreTransport(transport));
  const deaf = new Deaf(verbs);
  await using broker = await Broker.open({
    ...harness,
    transport: transport.wrapping((store) =>
      withParts(store, changes(store), deaf.intercept)
    ),
  });
  await arrives(run(broker, deaf), "the end of the case");
  assert.equal(deaf.lost, 1, `${verbs.join(" or ")} was not called`);
}

async function settleTwice(
  broker: Broker,
  deaf: Deaf,
  { name, settle, to, tells }: Settlement,
): Promise<void> {
  const dead = await broker.queue();
  const declared = broker.queueOf({
    arguments: name !== DEAD ? {} : {
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": dead,
    },
  });
  const { name: queue } = declared;
  await broker.channel.declareQueue(declared, soon());
  const names = { queue, dead, failed: failedQueue(queue, declared) };
  broker.removes([names.failed], []);
  await broker.put(queue, "once");
  const { deliveryTag: tag } = await broker.getSoon(queue);
  deaf.isArmed = true;
  await rejectsWith(settle(broker, { tag, declared }), "timed-out");
  const told = await settle(broker, { tag, declared });
  assert.deepEqual(told, tells?.(names));
  await rejectsWith(settle(broker, { tag, declared }), "message-settled");
  if (to !== undefined) {
    const found = await broker.getSoon(to(names));
    assert.equal(textOf(found), "once");
    await broker.channel.ack(found.deliveryTag, soon());
    assert.equal(await broker.get(to(names)), undefined);
  }
  assert.equal(await broker.get(queue), undefined);
}

async function quarantineTwice(broker: Broker, deaf: Deaf): Promise<void> {
  const { channel } = broker;
  const queue = await broker.queue();
  await broker.put(queue, "bad");
  const { deliveryTag } = await broker.getSoon(queue);
  const settle = () =>
    channel.reject(deliveryTag, { requeue: false, ...soon() });
  deaf.isArmed = true;
  await rejectsWith(settle(), "timed-out");
  await settle();
  await restore(broker, queue);
  assert.equal(await broker.get(queue), undefined);
}

/** A settlement whose answer was lost is done when it is tried again, and not told as lost. */
export const LOST_ANSWERS: readonly ConformanceCase[] = [
  ...SETTLEMENTS.map((each) =>
    onHarness(
      `${each.name} whose answer was lost is done when it is tried again`,
      (harness) =>
        withDeaf(
          harness,
          each.verbs,
          (broker, deaf) => settleTwice(broker, deaf, each),
        ),
      { wraps: true },
    )
  ),
  onHarness(
    "a message that goes into quarantine, and whose answer was lost, is there when it is tried again",
    (harness) =>
      withDeaf(harness, ["quarantine.add"], quarantineTwice, unreadable),
    { needs: ["quarantine"], wraps: true },
  ),
];
