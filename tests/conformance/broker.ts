import assert from "node:assert/strict";
import type {
  CallOptions,
  Channel,
  Clock,
  ConnectOptions,
  ConsumeOptions,
  Delivery,
  ExchangeDeclaration,
  ExchangeType,
  FieldTable,
  MessageProperties,
  Publishing,
  PublishOutcome,
  QueueDeclaration,
  TransportConnection,
} from "../../transports/transport.ts";
import { fillDefaults, parseUrl, readSharedQuery } from "../../url/mod.ts";
import type { Harness } from "./harness.ts";
import {
  appears,
  bindingOf,
  Collector,
  PATIENCE,
  publishing,
  soon,
  textOf,
  unique,
  until,
} from "./support.ts";

const CLOCK: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  timer(callback, delay) {
    const id = setTimeout(
      callback,
      Math.min(Math.max(delay, 0), 2 ** 31 - 1),
    );
    return () => clearTimeout(id);
  },
};

/** More messages no case leaves in a queue. */
const MOST = 10_000;

/**
 * Makes what a transport is given to connect with.
 *
 * @param harness The harness.
 * @param options The options that differ from the defaults.
 * @returns The options.
 */
export function connectOptions(
  harness: Harness,
  options: Partial<ConnectOptions> = {},
): ConnectOptions {
  return {
    heartbeat: 10_000,
    transportOptions: harness.transportOptions ?? {},
    operationTimeout: PATIENCE,
    owner: crypto.randomUUID(),
    clock: CLOCK,
    ...soon(),
    ...options,
  };
}

/**
 * Connects to a harness's broker.
 *
 * @param harness The harness.
 * @param options The options that differ from the defaults.
 * @returns The connection.
 */
export function connect(
  harness: Harness,
  options: Partial<ConnectOptions> = {},
): Promise<TransportConnection> {
  const { transport, url } = harness;
  const parsed = parseUrl(url, {
    severalHosts: transport.defaults?.severalHosts,
  });
  const { rest, shared } = readSharedQuery(parsed);
  return transport.connect(
    fillDefaults(rest, transport.defaults ?? {}),
    connectOptions(harness, { tls: shared.ssl, ...options }),
  );
}

/** An open connection with a channel, and the names of what a case declares on it. */
export class Broker implements AsyncDisposable {
  readonly #harness: Harness;
  readonly #connections: TransportConnection[] = [];
  readonly #queues: string[] = [];
  readonly #exchanges: string[] = [];
  /** The connection. */
  readonly connection: TransportConnection;
  /** A channel on it. */
  readonly channel: Channel;

  private constructor(
    harness: Harness,
    connection: TransportConnection,
    channel: Channel,
  ) {
    this.#harness = harness;
    this.connection = connection;
    this.channel = channel;
  }

  /** Connects and opens a channel. */
  static async open(harness: Harness): Promise<Broker> {
    const connection = await connect(harness);
    try {
      const channel = await connection.openChannel(soon());
      return new Broker(harness, connection, channel);
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Notes what somebody else declares, to be removed at the end. */
  removes(queues: readonly string[], exchanges: readonly string[]): void {
    this.#queues.push(...queues);
    this.#exchanges.push(...exchanges);
  }

  /** Opens another channel on the same connection. */
  openChannel(): Promise<Channel> {
    return this.connection.openChannel(soon());
  }

  /** Opens a channel on another connection: somebody else. */
  async openElsewhere(): Promise<{
    readonly connection: TransportConnection;
    readonly channel: Channel;
  }> {
    const connection = await connect(this.#harness);
    this.#connections.push(connection);
    return { connection, channel: await connection.openChannel(soon()) };
  }

  /** Makes a declaration of a queue with a name of its own. */
  queueOf(options: Partial<QueueDeclaration> = {}): QueueDeclaration {
    const queue = {
      name: unique("queue"),
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
      ...options,
    };
    this.#queues.push(queue.name);
    return queue;
  }

  /** Declares a queue, and returns its name. */
  async queue(options: Partial<QueueDeclaration> = {}): Promise<string> {
    const { name } = await this.channel.declareQueue(
      this.queueOf(options),
      soon(),
    );
    return name;
  }

  /** Makes a declaration of an exchange with a name of its own. */
  exchangeOf(
    type: ExchangeType,
    options: Partial<ExchangeDeclaration> = {},
  ): ExchangeDeclaration {
    const exchange = {
      name: unique(type),
      type,
      durable: true,
      autoDelete: false,
      internal: false,
      arguments: {},
      ...options,
    };
    this.#exchanges.push(exchange.name);
    return exchange;
  }

  /** Declares an exchange, and returns its name. */
  async exchange(
    type: ExchangeType,
    options: Partial<ExchangeDeclaration> = {},
  ): Promise<string> {
    const exchange = this.exchangeOf(type, options);
    await this.channel.declareExchange(exchange, soon());
    return exchange.name;
  }

  /** Binds a queue to an exchange. */
  async bind(
    queue: string,
    source: string,
    routingKey = "",
    arguments_: FieldTable = {},
  ): Promise<void> {
    await this.channel.bind(
      bindingOf("queue", queue, source, routingKey, arguments_),
      soon(),
    );
  }

  /** Says whether a queue has gone: a mandatory message to it comes back. */
  async isGone(queue: string): Promise<boolean> {
    const { type } = await this.publish("", queue, "", { mandatory: true });
    return type === "returned";
  }

  /** Publishes a text. */
  publish(
    exchange: string,
    routingKey: string,
    text: string,
    options: Partial<Publishing> & {
      readonly properties?: MessageProperties;
    } = {},
    channel: Channel = this.channel,
  ): Promise<PublishOutcome> {
    return channel.publish(
      publishing(exchange, routingKey, text, options),
      soon(),
    );
  }

  /** Puts a text into a queue, by the default exchange. */
  async put(
    queue: string,
    text: string,
    properties: MessageProperties = {},
  ): Promise<void> {
    const outcome = await this.publish("", queue, text, {
      properties,
      mandatory: true,
    });
    assert.equal(outcome.type, "accepted");
  }

  /** Consumes from a queue. */
  async consume(
    queue: string,
    options: Partial<ConsumeOptions> = {},
    channel: Channel = this.channel,
  ): Promise<Collector> {
    const collector = new Collector();
    collector.subscription = await channel.consume(
      queue,
      collector.deliver,
      { prefetch: 100, ...soon(), ...options },
    );
    return collector;
  }

  /** Takes one message. */
  get(
    queue: string,
    options: CallOptions & { readonly noAck?: boolean } = {},
  ): Promise<Delivery | undefined> {
    return this.channel.get(queue, { ...soon(), ...options });
  }

  /** Takes one message, which ought to be there or on its way. */
  async getSoon(queue: string): Promise<Delivery> {
    return await appears(
      () => this.get(queue),
      `a message in queue "${queue}"`,
    );
  }

  /** Takes all messages that are there, and settles them. */
  async drain(queue: string): Promise<string[]> {
    const texts: string[] = [];
    for (;;) {
      const delivery = await this.get(queue, { noAck: true });
      if (delivery === undefined) return texts;
      texts.push(textOf(delivery) ?? "");
      assert.ok(texts.length < MOST, `queue "${queue}" has no end`);
    }
  }

  /** Counts the ready messages. */
  async count(queue: string): Promise<number> {
    return (await this.channel.checkQueue(queue, soon())).messageCount;
  }

  /** Waits until a queue has so many ready messages. */
  async untilCount(queue: string, count: number): Promise<void> {
    let found = 0;
    await until(
      async () => (found = await this.count(queue)) === count,
      () => `queue "${queue}" with ${count} messages, not ${found},`,
    );
  }

  /** Closes all connections, and removes what was declared: all of it, whatever fails. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    const attempt = async (step: () => PromiseLike<unknown>) => {
      try {
        await step();
        return true;
      } catch (error) {
        failures.push(error);
        return false;
      }
    };
    // First, for nobody else deletes their exclusive queues, which go with them.
    for (const each of [this.connection, ...this.#connections]) {
      await attempt(() => each[Symbol.asyncDispose]());
    }
    await attempt(() => this.#deleteAll(attempt));
    if (failures.length > 0) throw failures[0];
  }

  async #deleteAll(
    attempt: (step: () => PromiseLike<unknown>) => Promise<boolean>,
  ): Promise<void> {
    const deletions = [
      ...this.#queues.filter((name) => name !== "").map(
        (name) => (channel: Channel) => channel.deleteQueue(name, soon()),
      ),
      ...this.#exchanges.map((name) => (channel: Channel) =>
        channel.deleteExchange(name, soon())
      ),
    ];
    if (deletions.length === 0) return;
    const connection = await connect(this.#harness);
    try {
      let channel = await connection.openChannel(soon());
      for (const each of deletions) {
        if (await attempt(() => each(channel))) continue;
        // A broker may close the channel of a call that it refuses.
        channel = await connection.openChannel(soon());
      }
    } finally {
      await connection[Symbol.asyncDispose]();
    }
  }
}
