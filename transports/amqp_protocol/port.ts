/**
 * The contract of an AMQP client: the verbs of a connection and of a channel that the
 * transport calls, and no more. Each client's folder implements it in its `client.ts`.
 */

import type { Binding } from "../../model/binding.ts";
import type { ExchangeDeclaration } from "../../model/exchange.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { Publishing } from "../../model/message.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import type { Peer } from "../peer.ts";
import type { Failure } from "./failure.ts";
import type { DialOptions } from "./options.ts";
import type { Server } from "./server.ts";

/** A message as a client has it. */
export interface RawMessage {
  readonly content: Uint8Array;
  readonly fields: {
    readonly deliveryTag: number;
    readonly redelivered: boolean;
    readonly exchange: string;
    readonly routingKey: string;
    readonly replyText?: string;
    /** How many more are ready, of one that was asked for. */
    readonly messageCount?: number | undefined;
  };
  readonly properties: RawProperties;
}

/** A message's properties as a client has them. */
export interface RawProperties {
  readonly contentType?: unknown;
  readonly contentEncoding?: unknown;
  /** A table that `fromFields` reads. */
  readonly headers?: object | undefined;
  readonly deliveryMode?: unknown;
  readonly priority?: unknown;
  readonly correlationId?: unknown;
  readonly replyTo?: unknown;
  readonly expiration?: unknown;
  readonly messageId?: unknown;
  /** Seconds, or a `Date`. */
  readonly timestamp?: unknown;
  readonly type?: unknown;
  readonly userId?: unknown;
  readonly appId?: unknown;
  /** Why the message comes without its body, where it does. */
  readonly leftOut?: unknown;
}

/** The events of a connection or a channel. None of these may throw: a client would swallow it. */
export interface ClientEvents {
  /** It has ended; `failure` is undefined if it was closed by us, or with its connection. */
  closed(failure: Failure | undefined): void;
  blocked?(reason: string): void;
  unblocked?(): void;
  /** Something came from the broker. */
  heard?(): void;
  returned?(message: RawMessage): void;
}

/**
 * Dials once.
 *
 * @param options The address, and the login.
 * @param password The password.
 * @param timeout Milliseconds after which a silent broker's socket is destroyed.
 * @param events Hears of what happens unasked.
 * @returns The connection. Rejects with the client's own error: `describe` it.
 */
export type Dial = (
  options: DialOptions,
  password: string,
  timeout: number,
  events: ClientEvents,
  /** Nobody waits for it any more when it aborts. */
  signal?: AbortSignal,
) => Promise<AmqpClient>;

/** An open connection of a client's. */
export interface AmqpClient {
  /** Seconds between heartbeats as agreed with the broker, where the client tells. */
  readonly heartbeat?: number;
  /** The largest frame that the broker takes, bytes; 0 is no limit. */
  readonly frameMax: number;
  /** The maximum number of channels that were agreed on with the broker; 0 is no limit. */
  readonly channelMax: number;
  /** What the broker has said of itself. */
  readonly server: Server;
  /** Opens a channel with confirms. */
  openChannel(events: ClientEvents): Promise<AmqpClientChannel>;
  /** Sends a heartbeat, if the client does not by itself. Called every half heartbeat. */
  beat?(): void;
  /** Closes the connection, and waits for `connection.close-ok`. */
  close(): Promise<void>;
  /** Tells who is at the other end of its socket, where it is one of TCP. */
  peer(): Peer | undefined;
  /** The package's own connection. */
  readonly native: unknown;
  /** Cuts the socket: the broker does not answer. */
  destroy(): void;
}

/** How a consumer is started. */
export interface RawConsume {
  readonly consumerTag: string;
  readonly prefetch: number;
  readonly noAck: boolean;
  readonly exclusive: boolean;
  readonly arguments: FieldTable;
}

/** An open channel of a client's. Its promises reject with the client's own errors. */
export interface AmqpClientChannel {
  declareExchange(exchange: ExchangeDeclaration): Promise<unknown>;
  checkExchange(name: string): Promise<unknown>;
  deleteExchange(name: string, ifUnused: boolean): Promise<unknown>;
  declareQueue(queue: QueueDeclaration): Promise<QueueStatus>;
  checkQueue(name: string): Promise<QueueStatus>;
  /** Resolves to how many messages went with it. */
  deleteQueue(
    name: string,
    options: { readonly ifUnused: boolean; readonly ifEmpty: boolean },
  ): Promise<number>;
  /** Resolves to how many messages went. */
  purgeQueue(name: string): Promise<number>;
  bind(binding: Binding): Promise<unknown>;
  unbind(binding: Binding): Promise<unknown>;

  /** Publishes; `done` is called with what went wrong, or with nothing. Throws if the message cannot be encoded. */
  publish(message: Publishing, done: (error: unknown) => void): void;
  /** Takes one message. Several that are asked for at once leave at once, and come in order. */
  get(queue: string, noAck: boolean): Promise<RawMessage | undefined>;
  /** Starts a consumer; `undefined` instead of a message says that the broker has ended it. */
  consume(
    queue: string,
    onMessage: (message: RawMessage | undefined) => void,
    options: RawConsume,
  ): Promise<void>;
  /** Ends a consumer. */
  cancel(consumerTag: string): Promise<unknown>;

  /** Acks a delivery, or all up to it. Throws if the channel has ended. */
  ack(deliveryTag: number, multiple: boolean): void;
  /** Rejects a delivery. Throws if the channel has ended. */
  reject(deliveryTag: number, requeue: boolean): void;
  /** Gives back a delivery that a handler failed for: the broker counts that, and may wait. Throws if the channel has ended. */
  fail(deliveryTag: number): void;
  /** Calls back, always, when earlier acks and rejects have left the process; with an error if it cannot any more. Must not throw. */
  left(done: (error?: unknown) => void): void;
  /** Closes it and waits for the answer. */
  close(): Promise<void>;
}

const NOTHING = new Uint8Array(0);

/** AMQP's heartbeat, which means nothing to the broker between two frames. */
const HEARTBEAT = new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0xce]);

/**
 * Returns the bytes to write behind frames, whose write completes when those have left the
 * process. Deno's TLS sockets are broken by an empty write (EPERM): there it is a
 * heartbeat.
 */
export function endMark(isTls: boolean): Uint8Array {
  return isTls ? HEARTBEAT : NOTHING;
}
