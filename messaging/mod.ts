/**
 * What users hold: connections, producers, consumers, messages.
 *
 * @module
 */

export { Connection } from "./connection.ts";
export { createConnection } from "./create_connection.ts";
export type { Backoff } from "../async/backoff.ts";
export type {
  AsUriOptions,
  CloseOptions,
  ConnectionInfo,
} from "./connection_info.ts";
export type {
  ConnectionOptions,
  FailoverStrategy,
  ReconnectOptions,
} from "./connection_options.ts";
export type { ConnectionEvent, ConnectionState } from "./connection_state.ts";
export { Consumer } from "./consumer.ts";
export type { ConsumerHealth } from "./consumer_health.ts";
export type { ConsumerOptions } from "./consumer_options.ts";
export type { Death } from "./deaths.ts";
export type { Entity } from "./declarations.ts";
export {
  binding,
  Exchange,
  type ExchangeBinding,
  type ExchangeOptions,
} from "./exchange.ts";
export type { RetryOptions } from "./handler_retry.ts";
export type { AckOptions, DeliveryInfo, Message } from "./message.ts";
export type { OperationOptions } from "./operation_options.ts";
export { ConnectionPool, type PoolOptions } from "./pool.ts";
export { Producer } from "./producer.ts";
export type {
  ProducerOptions,
  PublishOptions,
  SendOptions,
  TypedTarget,
} from "./producer_options.ts";
export { Quarantine, type QuarantineListOptions } from "./quarantine.ts";
export { Queue, type QueueOptions } from "./queue.ts";
export { QueueHandle } from "./queue_handle.ts";
export type { Redriven, RedriveOptions } from "./redrive.ts";
export type { Aftermath, OnFailure, RunOptions } from "./run_options.ts";
export type {
  PayloadSchema,
  Schema,
  SchemaIssue,
  SchemaResult,
} from "./schema.ts";
export { SimpleQueue, type SimpleQueueOptions } from "./simple_queue.ts";
export {
  type Codec,
  CodecRegistry,
  type Compression,
  createCodecRegistry,
  type DecodeOptions,
  type EncodedBody,
  type EncodeOptions,
  type LazyCodec,
  type LazyCompression,
  TypedValue,
} from "../codec/mod.ts";
export type { UrlInput } from "./url_input.ts";
export { SYSTEM_CLOCK } from "../async/clock.ts";
export { REPLY_CODES } from "../model/reply_code.ts";
export type * from "../transports/transport.ts";
