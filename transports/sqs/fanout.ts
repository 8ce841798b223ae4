import { Batchers } from "../../async/batcher.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import { batchesOf } from "./batches.ts";
import type { TopicClient } from "./topics_client.ts";
import type { SendEntry } from "./entry.ts";
import { type Failure, sendError } from "./errors.ts";
import { entityName, isFifo } from "./names.ts";
import { MESSAGE_BYTES, type SqsSettings } from "./options.ts";
import type { SqsQueue } from "./queues.ts";

/** Kombu's name for the statement in a queue's policy that lets topics send to it. */
const STATEMENT = "KombuManaged";

/** Fanout exchanges as topics of SNS: a topic's subscriptions are its bindings, for all processes. */
export class Fanout {
  readonly #client: TopicClient;
  readonly #settings: SqsSettings;
  readonly #topics = new Map<string, string>();
  readonly #batchers: Batchers<string, SendEntry, Failure | undefined>;
  /** Subscriptions' ARNs by exchange and queue. */
  readonly #subscriptions = new Map<string, string>();

  readonly #onGone: (exchange: string) => void;

  /** Makes one that knows no topic yet; `onGone` hears of topics that somebody deleted. */
  constructor(
    client: TopicClient,
    settings: SqsSettings,
    limits: Limits,
    onGone: (exchange: string) => void,
  ) {
    this.#onGone = onGone;
    this.#client = client;
    this.#settings = settings;
    this.#batchers = new Batchers((topic) => ({
      ...batchesOf(limits, `publish to topic "${topic}"`),
      bytes: mostForTopics(settings),
      bytesOf: (entry) => entry.body().length,
      send: (entries, options) => client.publish(topic, entries, options),
    }));
  }

  /** Creates an exchange's topic, or finds it; returns its ARN. */
  async topic(exchange: string, options: CallOptions = {}): Promise<string> {
    const known = this.#topics.get(exchange);
    if (known !== undefined) return known;
    const name = entityName(this.#settings.queueNamePrefix + exchange);
    const topic = await this.#client.createTopic(name, isFifo(name), options);
    this.#topics.set(exchange, topic);
    return topic;
  }

  /** Deletes an exchange's topic. */
  async delete(exchange: string, options: CallOptions = {}): Promise<void> {
    const topic = await this.topic(exchange, options);
    await this.#client.deleteTopic(topic, options);
    this.#forget(exchange);
  }

  /** Subscribes a queue, and lets the topic send to it. */
  async bind(
    exchange: string,
    { queue, url, client }: SqsQueue,
    options: CallOptions = {},
  ): Promise<void> {
    const topic = await this.topic(exchange, options);
    const { QueueArn, Policy } = await client.readAttributes(
      url,
      ["QueueArn", "Policy"],
      options,
    );
    const arn = QueueArn ?? "";
    const policy = policyFor(Policy, arn, topic);
    if (policy !== undefined) {
      await client.writePolicy(url, policy, options);
    }
    const subscription = await this.#client.subscribe(topic, arn, options);
    this.#subscriptions.set(keyOf(exchange, queue), subscription);
  }

  /** Ends a queue's subscription. */
  async unbind(
    exchange: string,
    queue: string,
    options: CallOptions = {},
  ): Promise<void> {
    const key = keyOf(exchange, queue);
    const subscription = this.#subscriptions.get(key);
    if (subscription === undefined) return;
    this.#subscriptions.delete(key);
    try {
      await this.#client.unsubscribe(subscription, options);
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  /** Publishes a message to an exchange's topic. */
  async publish(
    exchange: string,
    entry: SendEntry,
    options: CallOptions = {},
  ): Promise<void> {
    const topic = await this.topic(exchange, options);
    try {
      const failure = await this.#batchers.add(topic, topic, entry, options);
      if (failure !== undefined) throw sendError(exchange, failure);
    } catch (error) {
      // Somebody deleted it.
      if (error instanceof NotFoundError) {
        this.#forget(exchange);
        this.#onGone(exchange);
      }
      throw error;
    }
  }

  #forget(exchange: string): void {
    this.#topics.delete(exchange);
    for (const key of this.#subscriptions.keys()) {
      if (key.startsWith(keyOf(exchange, ""))) this.#subscriptions.delete(key);
    }
  }
}

/**
 * Returns the maximum size of a message to a topic. SNS takes more only where the topic
 * says so.
 *
 * @param settings The settings.
 * @returns Bytes, for a message and for a batch.
 */
export function mostForTopics({ maxMessageSize }: SqsSettings): number {
  return Math.min(maxMessageSize, MESSAGE_BYTES);
}

function keyOf(exchange: string, queue: string): string {
  return `${exchange}\n${queue}`;
}

/**
 * Adds to a queue's policy Kombu's statement that lets a topic send to the queue.
 *
 * @param present The queue's policy.
 * @param queue The queue's ARN.
 * @param topic The topic's ARN.
 * @returns The policy; `undefined` if the present one says so already.
 */
export function policyFor(
  present: string | undefined,
  queue: string,
  topic: string,
): string | undefined {
  const policy = readPolicy(present);
  const others = policy.statements.filter((each) => sidOf(each) !== STATEMENT);
  const ours = policy.statements.find((each) => sidOf(each) === STATEMENT);
  const topics = topicsOf(ours);
  if (topics.includes(topic)) return undefined;
  // Kombu writes one topic, and so lets a queue hear one exchange alone.
  const all = [...topics, topic];
  return JSON.stringify({
    Version: "2012-10-17",
    ...policy.rest,
    Statement: [...others, {
      Sid: STATEMENT,
      Effect: "Allow",
      Principal: { Service: "sns.amazonaws.com" },
      Action: "SQS:SendMessage",
      Resource: queue,
      Condition: {
        ArnLike: { "aws:SourceArn": all.length === 1 ? topic : all },
      },
    }],
  });
}

interface Policy {
  readonly rest: Readonly<Record<string, unknown>>;
  readonly statements: readonly unknown[];
}

function readPolicy(text: string | undefined): Policy {
  const { Statement, ...rest } = objectIn(parse(text));
  return {
    rest,
    statements: Array.isArray(Statement)
      ? Statement
      : Statement === undefined
      ? []
      : [Statement],
  };
}

function parse(text: string | undefined): unknown {
  if (text === undefined || text === "") return undefined;
  return JSON.parse(text);
}

function topicsOf(statement: unknown): readonly string[] {
  const condition = objectIn(objectIn(statement).Condition);
  const source = objectIn(condition.ArnLike)["aws:SourceArn"];
  const list = Array.isArray(source) ? source : [source];
  return list.filter((each) => typeof each === "string");
}

function sidOf(statement: unknown): unknown {
  return objectIn(statement).Sid;
}

function objectIn(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? { ...value } : {};
}
