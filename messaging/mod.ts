/**
 * The objects that users hold: connections, producers, consumers, messages.
 *
 * @module
 */

export { Connection } from "./connection/connection.ts";
export { createConnection } from "./connection/create_connection.ts";
export type {
  IncomingChanges,
  IncomingMessage,
  NothingReceived,
  OutgoingChanges,
  OutgoingMessage,
  PlainProperties,
  PublishOrigin,
  ReceivedVia,
  Settlement,
} from "./middleware/hooks.ts";
export type {
  Middleware,
  MiddlewareHost,
  MiddlewareInput,
} from "./middleware/middleware.ts";
export type { Backoff } from "../async/backoff.ts";
export type {
  AsUriOptions,
  CloseOptions,
  ConnectionInfo,
} from "./connection/connection_info.ts";
export type { RequestHealth } from "./connection/reply_counts.ts";
export type {
  Otherwise,
  Route,
  RouteHandler,
  RouteOptions,
  Routes,
} from "./consume/route_options.ts";
export type { ScheduleHealth } from "./connection/schedule_health.ts";
export type {
  ScheduleInfo,
  ScheduleOptions,
  ScheduleTableOptions,
  UnscheduleOptions,
} from "./schedule/schedule_options.ts";
export type { Missed, When } from "./schedule/when.ts";
export type { RequestOptions } from "./reply/request_options.ts";
export type { ServeContext, ServeOptions } from "./reply/serve_options.ts";
export type { ServeHandler } from "./reply/serving.ts";
export type {
  ConnectionHealth,
  ConsumerReport,
} from "./connection/connection_health.ts";
export type {
  ConnectionOptions,
  FailoverStrategy,
  ReconnectOptions,
} from "./connection/connection_options.ts";
export type {
  ConnectionEvent,
  ConnectionState,
} from "./connection/connection_state.ts";
export { Consumer } from "./consume/consumer.ts";
export type { BreakerOptions } from "./consume/breaker.ts";
export type { Inbox, InboxCall, InboxOutcome } from "./inbox/inbox.ts";
export type { RateLimitOptions } from "./consume/rate_limit.ts";
export type { ConsumerHealth } from "./consume/consumer_health.ts";
export type {
  ConsumerOptions,
  StreamOffset,
} from "./consume/consumer_options.ts";
export type { Death } from "./consume/deaths.ts";
export type { Entity } from "./connection/declarations.ts";
export {
  binding,
  Exchange,
  type ExchangeBinding,
  type ExchangeOptions,
} from "./entities/exchange.ts";
export type { RetryOptions } from "./consume/handler_retry.ts";
export type {
  AckOptions,
  DeliveryInfo,
  Message,
  RequeueOptions,
} from "./consume/message.ts";
export { type BrokerInfo, Inspector } from "./inspect/inspector.ts";
export type { PeekedMessage, PeekOptions } from "./inspect/peeking.ts";
export type { OperationOptions } from "./operation_options.ts";
export { ConnectionPool, type PoolOptions } from "./connection/pool.ts";
export { Producer } from "./publish/producer.ts";
export type {
  DedupeOptions,
  ProducerOptions,
  Published,
  PublishOnceOptions,
  PublishOptions,
  SendOnceOptions,
  SendOptions,
  TypedTarget,
} from "./publish/producer_options.ts";
export {
  Quarantine,
  type QuarantineListOptions,
} from "./connection/quarantine.ts";
export { Queue } from "./entities/queue.ts";
export type {
  ClassicQueueOptions,
  CommonQueueOptions,
  DeclaredQueue,
  DelayedRetry,
  OnceQueueOptions,
  QueueOptions,
  QuorumQueueOptions,
  StreamQueueOptions,
} from "./entities/queue_options.ts";
export {
  QueueHandle,
  type ReceiveOptions,
  type RescheduleOptions,
} from "./connection/queue_handle.ts";
export type { Redriven, RedriveOptions } from "./connection/redrive.ts";
export type {
  Aftermath,
  OnFailure,
  RunOptions,
} from "./consume/run_options.ts";
export type { ReadFile } from "./connection/tls_files.ts";
export type { DeleteEntityOptions } from "./connection/tables.ts";
export type { PublishDefaults } from "./publish/producer_options.ts";
export type { PublishAllOptions, PublishedAll } from "./publish/publish_all.ts";
export type { BatchHandler, RunBatchesOptions } from "./consume/batches.ts";
export type {
  PayloadSchema,
  Schema,
  SchemaIssue,
  SchemaResult,
} from "./entities/schema.ts";
export {
  SimpleQueue,
  type SimpleQueueOptions,
} from "./consume/simple_queue.ts";
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
export type { UrlInput } from "./connection/url_input.ts";
export { SYSTEM_CLOCK } from "../async/clock.ts";
export { REPLY_CODES } from "../model/reply_code.ts";
export type {
  Binding,
  BindingDestination,
  BrokerHost,
  BrokerUrl,
  CallOptions,
  Capability,
  Channel,
  ChannelUse,
  Clock,
  CloseReason,
  ConnectOptions,
  ConsumeOptions,
  DeadLettered,
  Dedupe,
  DelayedMessage,
  DelayedMessages,
  DeleteOptions,
  DeleteQueueOptions,
  Delivery,
  DeliveryTag,
  Dropped,
  EndReason,
  ErrorCode,
  ErrorDetails,
  ExchangeDeclaration,
  ExchangeType,
  FieldTable,
  FieldValue,
  GetOptions,
  Inspection,
  MessageProperties,
  MessagingErrorOptions,
  NativeClient,
  OpenChannelOptions,
  Outcome,
  Parked,
  ParkOptions,
  PayloadIssue,
  Peeked,
  Publishing,
  PublishOutcome,
  Quarantined,
  QuarantineOptions,
  QueryTransaction,
  QueueCounts,
  QueueDeclaration,
  QueueInfo,
  QueueStatus,
  RejectOptions,
  ReplyCode,
  ReplyCodeName,
  SettleOptions,
  SqliteTransaction,
  SqlTransaction,
  Subscription,
  TlsOptions,
  Transport,
  TransportConnection,
  TransportEvent,
  TransportModule,
  UnsafeTransaction,
  UrlDefaults,
} from "../transports/transport.ts";
