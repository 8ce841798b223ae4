import {
  AMQPBaseClient,
  AMQPChannel,
  AMQPConsumer,
  AMQPMessage,
} from "@cloudamqp/amqp-client";
import { AMQPView } from "@cloudamqp/amqp-client/amqp-view";
import { atNextTurn } from "../../async/turn.ts";
import {
  BodyLimit,
  FIRST_FRAMES,
  mostFrame,
} from "../amqp_protocol/body_limit.ts";
import { describe } from "../amqp_protocol/failure.ts";
import { rawTable } from "../amqp_protocol/fields.ts";
import { shortText } from "../amqp_protocol/short_text.ts";
import type {
  AmqpClient,
  AmqpClientChannel,
  ClientEvents,
  RawMessage,
} from "../amqp_protocol/port.ts";
import { Server } from "../amqp_protocol/server.ts";
import type { Peer } from "../peer.ts";
import { ClientChannel } from "./channel.ts";
import { FrameSplitter } from "./frame_splitter.ts";
import { FrameWriter } from "./frame_writer.ts";
import { isMethod, METHODS, withoutHosts } from "./methods.ts";
import type { ClientDialOptions } from "./options.ts";
import { openSocket } from "./socket_client.ts";
import { openWebSocket } from "./web_socket.ts";
import type { Wire, WireEvents } from "./wire.ts";

const GREETING = Uint8Array.of(65, 77, 81, 80, 0, 0, 9, 1);
const HEARTBEAT = Uint8Array.of(8, 0, 0, 0, 0, 0, 0, 206);

/** Dials once. */
export async function dial(
  options: ClientDialOptions,
  password: string,
  timeout: number,
  events: ClientEvents,
  signal?: AbortSignal,
): Promise<AmqpClient> {
  signal?.throwIfAborted();
  const link = new Link(options, password, timeout, events);
  const giveUp = () => link.destroy();
  signal?.addEventListener("abort", giveUp, { once: true });
  try {
    await link.connect();
    return link;
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

/**
 * A connection: the package's client, which reads what the broker sends and keeps the
 * channels, over a way of our own. The package's own clients are not used: they write
 * numbers in headers wrongly, die of fields that they do not know, lose sockets that do
 * not connect (cloudamqp/amqp-client.js#56), and take their own writes for signs of life
 * (#95). All that is overridden of the package stands in this file, and a test fails when
 * another version has changed it.
 */
class Link extends AMQPBaseClient implements AmqpClient {
  readonly writer: FrameWriter = new FrameWriter((bytes) => {
    this.#wire?.write(bytes, this.#done);
    this.#done = undefined;
  });
  /** Called when the next frames have left. */
  #done: ((error?: unknown) => void) | undefined;
  readonly #options: ClientDialOptions;
  readonly #timeout: number;
  readonly #events: ClientEvents;
  readonly #splitter: FrameSplitter;
  /** Why the message that is being read comes without its body, where it does. */
  #leftOut: Error | undefined;
  #wire: Wire | undefined;
  #isOpen = false;
  /** Why it has ended. */
  #ended: Error | undefined;
  server = new Server({});
  readonly native: AMQPBaseClient = this;
  readonly peer = (): Peer | undefined => this.#wire?.peer?.();
  #flushing = false;

  constructor(
    options: ClientDialOptions,
    password: string,
    timeout: number,
    events: ClientEvents,
  ) {
    super(options.virtualHost, options.username, password);
    this.frameMax = options.frameMax;
    this.channelMax = options.channelMax;
    this.heartbeat = options.heartbeat;
    this.#options = options;
    this.#splitter = new FrameSplitter(
      FIRST_FRAMES,
      ({ buffer, byteOffset, byteLength }, leftOut) => {
        this.#leftOut = leftOut;
        this.parseFrames(new View(buffer, byteOffset, byteLength));
        this.#leftOut = undefined;
      },
      new BodyLimit(options.maxResponseSize),
    );
    this.#timeout = timeout;
    this.#events = events;
    // It speaks of every channel that ends, too: those speak for themselves.
    this.onerror = () => {};
    this.ondisconnect = (error) => this.#end(error);
    this.onblocked = (reason) => events.blocked?.(reason);
    this.onunblocked = () => events.unblocked?.();
  }

  override async connect(): Promise<AMQPBaseClient> {
    const { promise, resolve, reject } = Promise.withResolvers<
      AMQPBaseClient
    >();
    this.connectPromise = [resolve, reject];
    const timer = setTimeout(
      () => this.#fail(new Error("connect ETIMEDOUT")),
      this.#timeout,
    );
    try {
      this.#wire = openWire(this.#options, {
        opened: () => void this.send(GREETING),
        received: (bytes) => this.#received(bytes),
        closed: (error) => this.#end(error),
      });
      await promise;
    } finally {
      clearTimeout(timer);
    }
    if (this.#ended !== undefined) throw this.#ended; // by what came with the welcome
    this.#isOpen = true;
    this.writer.frameMax = this.frameMax;
    this.#splitter.limit = 8 + mostFrame(
      this.#options.maxResponseSize,
      this.frameMax,
    );
    return this;
  }

  /** As a message was read. */
  rawMessage(message: AMQPMessage): RawMessage {
    const leftOut = this.#leftOut;
    const { body, properties } = message;
    return {
      content: body instanceof Uint8Array ? body : new Uint8Array(0),
      fields: message,
      properties: leftOut === undefined
        ? properties
        : { ...properties, leftOut },
    };
  }

  async openChannel(events: ClientEvents): Promise<AmqpClientChannel> {
    if (this.#ended !== undefined) throw this.#ended;
    let id = this.channels.findIndex((channel) => channel === undefined);
    if (id < 0) id = this.channels.length;
    const incoming = new Incoming(this, id, events);
    this.channels[id] = incoming;
    await incoming.channel.open();
    return incoming.channel;
  }

  beat(): void {
    void this.send(HEARTBEAT);
  }

  override close(): Promise<void> {
    if (this.#ended !== undefined) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.closed = true;
      this.closePromise = [resolve, reject];
      this.writer.method(0, METHODS.connectionClose, () => {
        this.writer.short(200);
        this.writer.shortString("");
        this.writer.long(0);
      });
      this.writer.flush();
    });
  }

  destroy(): void {
    this.#fail(new Error("the socket was cut"));
  }

  /** Sends frames at once. */
  override send(bytes: Uint8Array): Promise<void> {
    this.writer.raw(bytes);
    this.writer.flush();
    return Promise.resolve();
  }

  /** Sends the written frames with all others of this turn. */
  flushLater(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    atNextTurn(this.#flush);
  }

  /** Sends the written frames, and calls back when they have left. */
  left(done: (error?: unknown) => void): void {
    if (this.#ended !== undefined || this.#wire === undefined) {
      return done(new Error("the socket was closed"));
    }
    this.#done = done;
    this.writer.flush();
    if (this.#done === undefined) return;
    this.#done = undefined;
    this.#wire.left(done); // there was nothing to write
  }

  /** Ends it: a frame makes no sense. */
  cut(error: Error): void {
    this.#fail(error);
  }

  readonly #flush = (): void => {
    this.#flushing = false;
    if (this.#ended === undefined) this.writer.flush();
  };

  protected override closeSocket(): void {
    this.closed = true;
    this.#wire?.end();
  }

  /** Answers what the package answers otherwise than we would, and leaves the rest to it. */
  protected override parseFrames(view: AMQPView): void {
    if (!this.#isOpen && isMethod(view, 10, 10)) return this.#start(view);
    // A broker that asks for no heartbeats gets those that we ask for.
    if (!this.#isOpen && isMethod(view, 10, 30) && view.getUint16(17) === 0) {
      view.setUint16(17, this.heartbeat);
    }
    // Qpid names hosts in it, where the package reads on behind an empty text.
    const isOpened = !this.#isOpen && isMethod(view, 10, 41);
    super.parseFrames(isOpened ? new View(withoutHosts(view)) : view);
  }

  #start(view: AMQPView): void {
    // Behind the frame's head, the method's ids, and the protocol's version.
    this.server = new Server(view.getTable(13)[0]);
    const { loginMethod, clientProperties } = this.#options;
    const { writer } = this;
    writer.method(0, METHODS.startOk, () => {
      writer.table({
        ...clientProperties,
        capabilities: {
          authentication_failure_close: true,
          "basic.nack": true,
          "connection.blocked": true,
          consumer_cancel_notify: true,
          exchange_exchange_bindings: true,
          per_consumer_qos: true,
          publisher_confirms: true,
        },
      });
      writer.shortString(loginMethod);
      writer.longString(
        loginMethod === "EXTERNAL"
          ? ""
          : `\u0000${this.username}\u0000${this.password}`,
      );
      writer.shortString("en_US");
    });
    writer.flush();
  }

  #received(bytes: Uint8Array): void {
    if (this.#ended !== undefined) return;
    this.#events.heard?.();
    try {
      this.#splitter.push(bytes);
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.#end(error);
    this.#wire?.destroy();
  }

  #end(error: unknown): void {
    if (this.#ended !== undefined) return;
    const cause = this.#ended = error instanceof Error
      ? error
      : new Error("the socket was closed");
    this.closed = true;
    this.connectPromise?.[1](cause);
    this.closePromise?.[1](cause);
    for (const channel of Object.values(this.channels)) {
      channel.setClosed(cause);
    }
    if (this.#isOpen) this.#events.closed(describe(cause));
  }
}

function openWire(options: ClientDialOptions, events: WireEvents): Wire {
  const { webSocket } = options;
  return webSocket === undefined
    ? openSocket(options, events)
    : openWebSocket(webSocket, (below) => openSocket(options, below), events);
}

/**
 * Reads tables as their bytes, to be decoded when they are looked at: the package dies of types that it
 * does not know. And short texts faster than the package does.
 */
class View extends AMQPView {
  readonly #bytes = new Uint8Array(
    this.buffer,
    this.byteOffset,
    this.byteLength,
  );

  override getShortString(byteOffset: number): [string, number] {
    const length = this.getUint8(byteOffset);
    return [shortText(this.#bytes, byteOffset + 1, length), length + 1];
  }

  override getTable(byteOffset: number): ReturnType<AMQPView["getTable"]> {
    const size = this.getUint32(byteOffset);
    const start = byteOffset + 4;
    return [rawTable(this.#bytes.subarray(start, start + size)), size + 4];
  }
}

/** A channel of the package's, which receives frames, and hands them on. */
class Incoming extends AMQPChannel {
  readonly #channel: ClientChannel;
  readonly #link: Link;

  constructor(link: Link, id: number, events: ClientEvents) {
    super(link, id);
    this.#link = link;
    this.#channel = new ClientChannel(id, link, events, {
      add: (tag) => void this.consumers.set(tag, new Consumer(this, tag)),
      remove: (tag) => void this.consumers.delete(tag),
    });
  }

  get channel(): ClientChannel {
    return this.#channel;
  }

  override resolveRPC(value?: unknown): void {
    this.#channel.answered(
      value instanceof AMQPMessage ? this.#link.rawMessage(value) : value,
    );
  }

  override publishConfirmed(
    tag: number,
    multiple: boolean,
    nack: boolean,
  ): void {
    this.#channel.confirmed(tag, multiple, nack);
  }

  override onReturn(message: AMQPMessage): void {
    this.#channel.returned(this.#link.rawMessage(message));
  }

  override deliver(message: AMQPMessage): void {
    this.#channel.delivered(
      message.consumerTag,
      this.#link.rawMessage(message),
    );
  }

  /** The broker has closed it, or all of them, or has answered that we did. */
  override setClosed(error?: Error): void {
    this.closed = true;
    this.#channel.ended(error);
  }

  /** The broker has ended a consumer. */
  cancelled(consumerTag: string): void {
    this.#channel.delivered(consumerTag, undefined);
  }
}

/** A consumer as the package looks for it. */
class Consumer extends AMQPConsumer {
  readonly #incoming: Incoming;

  constructor(incoming: Incoming, tag: string) {
    super(incoming, tag, () => {});
    this.#incoming = incoming;
  }

  override setClosed(): void {
    this.#incoming.cancelled(this.tag);
  }
}
