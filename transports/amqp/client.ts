import type { ChannelModel, ConfirmChannel } from "amqplib";
import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";
import type { Binding } from "../../model/binding.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { FIRST_FRAMES } from "../amqp_protocol/body_limit.ts";
import { describe, type Failure } from "../amqp_protocol/failure.ts";
import type { DialOptions } from "../amqp_protocol/options.ts";
import type {
  AmqpClient,
  AmqpClientChannel,
  ClientEvents,
  RawConsume,
  RawMessage,
} from "../amqp_protocol/port.ts";
import { Server } from "../amqp_protocol/server.ts";
import { nodeTlsOptions } from "../../model/tls_options.ts";
import { type Peer, peerOf } from "../peer.ts";
import { Corking } from "./corking.ts";
import { encodeFields, type RawValue } from "./fields.ts";
import { loadOnce } from "./load_client.ts";
import { GetPipeline } from "./get_pipeline.ts";
import { patchConnection } from "./patch_amqplib.ts";
import { optionsOf } from "./publishing.ts";

/** Dials once. */
export async function dial(
  options: DialOptions,
  password: string,
  timeout: number,
  events: ClientEvents,
  signal?: AbortSignal,
): Promise<AmqpClient> {
  const { hostname, port, tls } = options;
  const { connect, credentials } = await loadOnce();
  // A socket of Node's whose signal is aborted before it connects says that it is closed,
  // and connects all the same.
  signal?.throwIfAborted();
  // amqplib has no way to give up: the socket's own signal ends it, until it is dialled.
  const dialling = new AbortController();
  const giveUp = () => dialling.abort();
  signal?.addEventListener("abort", giveUp, { once: true });
  const model = await connect({
    protocol: tls === undefined ? "amqp" : "amqps",
    hostname,
    port,
    vhost: encodeURIComponent(options.virtualHost),
    heartbeat: options.heartbeat,
    frameMax: options.frameMax,
    channelMax: options.channelMax,
    maxFrameSize: FIRST_FRAMES,
  }, {
    noDelay: true,
    timeout,
    ...{ signal: dialling.signal }, // its types do not know it
    clientProperties: toFields(options.clientProperties),
    credentials: options.loginMethod === "EXTERNAL"
      ? credentials.external()
      : credentials.plain(options.username, password),
    ...nodeTlsOptions(tls),
  }).finally(() => signal?.removeEventListener("abort", giveUp));
  patchConnection(model.connection, options.maxResponseSize, Buffer.concat);
  return new Client(model, events);
}

/** An open connection of the client's. */
class Client implements AmqpClient {
  readonly #model: ChannelModel;
  readonly #corking: Corking;
  readonly #stream: Duplex | undefined;
  /** Resolves when the socket is closed. */
  readonly #gone: Promise<void>;

  constructor(model: ChannelModel, events: ClientEvents) {
    this.#model = model;
    this.#stream = streamOf(model);
    this.#corking = new Corking(this.#stream);
    let failure: Failure | undefined;
    model.on("error", (error) => failure ??= describe(error));
    model.on("close", (error) => {
      events.closed(
        failure ?? (error === undefined ? undefined : describe(error)),
      );
    });
    model.on("blocked", (reason) => events.blocked?.(String(reason)));
    model.on("unblocked", () => events.unblocked?.());
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#gone = promise;
    this.#stream?.once("close", resolve);
    this.#stream?.on("readable", () => events.heard?.());
  }

  get frameMax(): number {
    return this.#agreed("frameMax");
  }

  get channelMax(): number {
    return this.#agreed("channelMax");
  }

  get server(): Server {
    return new Server(this.#model.connection.serverProperties);
  }

  peer(): Peer | undefined {
    return peerOf(this.#stream);
  }

  get native(): ChannelModel {
    return this.#model;
  }

  #agreed(name: "frameMax" | "channelMax"): number {
    const connection: object = this.#model.connection;
    const value = Reflect.get(connection, name);
    return typeof value === "number" ? value : 0;
  }

  async openChannel(events: ClientEvents): Promise<AmqpClientChannel> {
    const channel = await this.#model.createConfirmChannel();
    return new ClientChannel(
      channel,
      this.#corking,
      events,
      this.#gone,
      (error) => this.#stream?.destroy(error),
    );
  }

  async close(): Promise<void> {
    this.#corking.flush();
    await answered(this.#model.close(), this.#gone);
    // The broker has closed the connection: nothing more comes.
    this.destroy();
  }

  destroy(): void {
    // With an error: amqplib stops its heartbeats by that, and not by the closing alone.
    this.#stream?.destroy(new Error("the socket was cut"));
  }
}

/** amqplib waits for its answer for ever where the socket is cut meanwhile. */
async function answered(
  closing: Promise<void>,
  gone: Promise<void>,
): Promise<void> {
  closing.catch(() => {}); // nobody waits for it where the socket is gone first
  await Promise.race([closing, gone]);
}

/** An open channel of the client's. */
class ClientChannel implements AmqpClientChannel {
  readonly #channel: ConfirmChannel;
  readonly #corking: Corking;
  readonly #gone: Promise<void>;
  readonly #cut: (error: Error) => void;
  readonly #gets: GetPipeline;
  #published = 0;

  constructor(
    channel: ConfirmChannel,
    corking: Corking,
    events: ClientEvents,
    gone: Promise<void>,
    cut: (error: Error) => void,
  ) {
    this.#channel = channel;
    this.#gets = new GetPipeline(channel);
    this.#cut = cut;
    this.#corking = corking;
    this.#gone = gone;
    let failure: Failure | undefined;
    channel.on("error", (error) => failure ??= describe(error));
    channel.on("close", () => events.closed(failure));
    channel.on("return", (message) => events.returned?.(message));
    // Before amqplib's own, which take every number for a message's.
    const check = (confirm: RawConfirm) => this.#checkConfirm(confirm);
    channel.prependListener("ack", check);
    channel.prependListener("nack", check);
  }

  /** AMQP's 0 with `multiple` stands for all that is outstanding; a message that was never sent is not confirmed by it. */
  #checkConfirm(confirm: RawConfirm): void {
    const { deliveryTag, multiple } = confirm;
    if (deliveryTag > 0 && deliveryTag <= this.#published) return;
    if (multiple && deliveryTag === 0) {
      confirm.deliveryTag = this.#published;
      return;
    }
    // For amqplib this is none.
    confirm.multiple = true;
    confirm.deliveryTag = 0;
    this.#cut(
      new Error(
        `the broker confirmed message ${deliveryTag} of ${this.#published}`,
      ),
    );
  }

  declareExchange(exchange: ExchangeDeclaration): Promise<unknown> {
    const { name, type, durable, autoDelete, internal } = exchange;
    return this.#channel.assertExchange(name, type, {
      durable,
      autoDelete,
      internal,
      arguments: toFields(exchange.arguments),
    });
  }

  checkExchange(name: string): Promise<unknown> {
    return this.#channel.checkExchange(name);
  }

  deleteExchange(name: string, ifUnused: boolean): Promise<unknown> {
    return this.#channel.deleteExchange(name, { ifUnused });
  }

  async declareQueue(queue: QueueDeclaration): Promise<QueueStatus> {
    const { name, durable, exclusive, autoDelete } = queue;
    const { queue: given, ...counts } = await this.#channel.assertQueue(name, {
      durable,
      exclusive,
      autoDelete,
      arguments: toFields(queue.arguments),
    });
    return { name: given, ...counts };
  }

  async checkQueue(name: string): Promise<QueueStatus> {
    const { messageCount, consumerCount } = await this.#channel.checkQueue(
      name,
    );
    return { name, messageCount, consumerCount };
  }

  async deleteQueue(
    name: string,
    options: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number> {
    return (await this.#channel.deleteQueue(name, options)).messageCount;
  }

  async purgeQueue(name: string): Promise<number> {
    return (await this.#channel.purgeQueue(name)).messageCount;
  }

  bind(binding: Binding): Promise<unknown> {
    const { source, destination: { kind, name }, routingKey } = binding;
    const fields = toFields(binding.arguments);
    return kind === "queue"
      ? this.#channel.bindQueue(name, source, routingKey, fields)
      : this.#channel.bindExchange(name, source, routingKey, fields);
  }

  unbind(binding: Binding): Promise<unknown> {
    const { source, destination: { kind, name }, routingKey } = binding;
    const fields = toFields(binding.arguments);
    return kind === "queue"
      ? this.#channel.unbindQueue(name, source, routingKey, fields)
      : this.#channel.unbindExchange(name, source, routingKey, fields);
  }

  publish(message: Publishing, done: (error: unknown) => void): void {
    const { exchange, routingKey, body } = message;
    const options = optionsOf(message, toBuffer);
    this.#corking.cork();
    this.#channel.publish(exchange, routingKey, toBuffer(body), options, done);
    this.#published++;
  }

  async consume(
    queue: string,
    onMessage: (message: RawMessage | undefined) => void,
    options: RawConsume,
  ): Promise<void> {
    const { consumerTag, prefetch, noAck, exclusive } = options;
    const fields = toFields(options.arguments);
    // Sent together: no other consumer's prefetch may come between the two.
    const limited = this.#channel.prefetch(prefetch, false);
    const consumed = this.#channel.consume(
      queue,
      (message) => onMessage(message ?? undefined),
      { consumerTag, noAck, exclusive, arguments: fields },
    );
    await Promise.all([limited, consumed]);
  }

  cancel(consumerTag: string): Promise<unknown> {
    return this.#channel.cancel(consumerTag);
  }

  async get(queue: string, noAck: boolean): Promise<RawMessage | undefined> {
    const message = await this.#gets.send(
      () => this.#channel.get(queue, { noAck }),
    );
    return message === false ? undefined : message;
  }

  ack(deliveryTag: number, multiple: boolean): void {
    this.#corking.cork();
    this.#channel.ack(tagged(deliveryTag), multiple);
  }

  reject(deliveryTag: number, requeue: boolean): void {
    this.#corking.cork();
    const message = tagged(deliveryTag);
    // What `reject` settles RabbitMQ counts as failed, and what `nack` does not: its dead letter, too (4.3).
    this.#channel.nack(message, false, requeue);
  }

  fail(deliveryTag: number): void {
    this.#corking.cork();
    this.#channel.reject(tagged(deliveryTag), true);
  }

  left(done: (error?: unknown) => void): void {
    this.#corking.left(done);
  }

  async close(): Promise<void> {
    this.#corking.flush();
    await answered(this.#channel.close(), this.#gone);
  }
}

/** The broker's answer for one message, or for all up to it. */
interface RawConfirm {
  deliveryTag: number;
  multiple: boolean;
}

function toFields(table: FieldTable): { readonly [name: string]: RawValue } {
  return encodeFields(table, toBuffer);
}

/** The client's acks take a message, of which they read the tag alone. */
function tagged(deliveryTag: number) {
  return {
    content: EMPTY,
    fields: { deliveryTag, redelivered: false, exchange: "", routingKey: "" },
    properties: NO_PROPERTIES,
  };
}

const EMPTY = Buffer.alloc(0);
const NO_PROPERTIES = {
  contentType: undefined,
  contentEncoding: undefined,
  headers: undefined,
  deliveryMode: undefined,
  priority: undefined,
  correlationId: undefined,
  replyTo: undefined,
  expiration: undefined,
  messageId: undefined,
  timestamp: undefined,
  type: undefined,
  userId: undefined,
  appId: undefined,
  clusterId: undefined,
};

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The socket, which amqplib keeps to itself: without it the transport is slower, and its sign of life is the heartbeat's. */
function streamOf(model: ChannelModel): Duplex | undefined {
  const { connection } = model;
  if (!("stream" in connection)) return undefined;
  const { stream } = connection;
  return isDuplex(stream) ? stream : undefined;
}

function isDuplex(stream: unknown): stream is Duplex {
  return typeof stream === "object" && stream !== null && "cork" in stream &&
    "destroy" in stream && "on" in stream;
}
