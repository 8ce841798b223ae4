import type { Queue } from "../messaging/entities/queue.ts";
import type {
  IncomingMessage,
  Message,
  Middleware,
  MiddlewareHost,
  NothingReceived,
  OutgoingChanges,
  OutgoingMessage,
  Settlement,
} from "../messaging/mod.ts";
import { ReceivedMessage } from "../messaging/consume/message.ts";
import type {
  Observer,
  ProcessWatch,
  PublishOrigin,
  PublishWatch,
  Watch,
} from "../messaging/middleware/hooks.ts";
import {
  NO_HEADERS,
  observedBy,
  watched,
} from "../messaging/middleware/observer.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { Publishing } from "../model/message.ts";
import type { Context, Link, Span } from "./api_client.ts";
import { extensible } from "./contexts.ts";
import { ConnectionEvents } from "./events.ts";
import type { Operation, Operations, OperationType } from "./operations.ts";
import {
  baseOf,
  cameWith,
  cannotRecord,
  contextOf,
  endWith,
  errorType,
  identify,
  type Ids,
  linksTo,
  type Place,
  placeOf,
  quietly,
  type Recorder,
} from "./recorder.ts";
import {
  HandlerCall,
  isCallOf,
  PublishRecording,
  SettleRecording,
} from "./recordings.ts";

/** Records the operations of one connection. */
export class ConnectionTelemetry implements Observer {
  readonly #recorder: Recorder;
  readonly #host: MiddlewareHost;
  /** The calls of handlers for messages that keep none. */
  readonly #calls = new WeakMap<Message<unknown>, HandlerCall>();
  readonly #events: ConnectionEvents;

  /** Makes one, of a connection that may have none of its messages on the way yet. */
  constructor(
    recorder: Recorder,
    host: MiddlewareHost,
    depthOf: readonly (Queue | string)[],
  ) {
    this.#recorder = recorder;
    this.#host = host;
    this.#events = new ConnectionEvents(recorder, host, depthOf);
  }

  /** The hooks, for which it is an observer alike. */
  get middleware(): Middleware {
    return observedBy({
      publish: (message, next) => this.#publish(message, next),
      receive: (message) => {
        quietly(this.#recorder, () => this.#receive(message));
      },
      receivedNothing: (call) => {
        quietly(this.#recorder, () => this.#receivedNothing(call));
      },
      process: (message, next) => this.#process(message, undefined, next),
      processBatch: (messages, next) =>
        this.#process(messages[0], messages, next),
      settle: (settlement, next) => this.#settle(settlement, next),
      event: (event) => this.#events.event(event),
    }, this);
  }

  publish(
    origin: PublishOrigin,
    { exchange, routingKey, properties }: Publishing,
    request: Message<unknown> | undefined,
  ): PublishWatch | undefined {
    try {
      const { headers = NO_HEADERS } = properties;
      const place = { exchange, routingKey };
      return this.#beginPublish(origin, place, headers, properties, request);
    } catch (error) {
      return cannotRecord(this.#recorder, error);
    }
  }

  process(message: Message<unknown>): ProcessWatch | undefined {
    try {
      return this.#beginProcess(message, undefined);
    } catch (error) {
      return cannotRecord(this.#recorder, error);
    }
  }

  settle(
    action: Settlement["action"],
    message: Message<unknown>,
  ): Watch | undefined {
    try {
      return this.#beginSettle(action, message);
    } catch (error) {
      return cannotRecord(this.#recorder, error);
    }
  }

  #publish(
    message: OutgoingMessage,
    next: (changes?: OutgoingChanges) => Promise<void>,
  ): Promise<void> {
    const { origin, headers, properties, request } = message;
    const begun = quietly(
      this.#recorder,
      () => this.#beginPublish(origin, message, headers, properties, request),
    );
    if (begun === undefined) return next();
    const { headers: sent } = begun;
    return promised(
      () => next(sent === headers ? undefined : { headers: sent }),
      begun,
    );
  }

  #beginPublish(
    origin: PublishOrigin,
    { exchange, routingKey }: Omit<Place, "queue">,
    headers: FieldTable,
    ids: Ids,
    request: Message<unknown> | undefined,
  ): PublishRecording {
    const { api, tracer, propagation } = this.#recorder;
    const { context, trace, SpanKind } = api;
    const isSent = origin !== "outbox";
    const operation = isSent
      ? this.#operations.publish(exchange, routingKey)
      : this.#operations.create(exchange, routingKey);
    const parent = this.#callFor(request)?.context ?? context.active();
    // A context that is there already is its creation's: it stays.
    const links = linksTo(this.#recorder, headers);
    const span = tracer.startSpan(operation.spanName, {
      kind: links.length > 0 ? SpanKind.CLIENT : SpanKind.PRODUCER,
      attributes: operation.span,
      links,
    }, parent);
    if (span.isRecording()) identify(span, operation, ids);
    const added = links.length > 0
      ? headers
      : propagation.inject(trace.setSpan(extensible(parent), span), headers);
    // The first message to a queue finds it out.
    const locate = exchange === "" && this.#operations.isSqs
      ? (span: Span) => this.#locate(span, routingKey)
      : undefined;
    locate?.(span);
    return new PublishRecording(
      this.#recorder,
      span,
      operation.metric,
      added,
      isSent,
      locate,
    );
  }

  #receive(message: IncomingMessage): void {
    const { via } = message;
    if (via === "run" || via === "peek") return;
    const { api, tracer, meters } = this.#recorder;
    const operation = this.#operation(
      via === "get" ? "get" : "receive",
      "receive",
      message,
    );
    const now = performance.now();
    const took = Math.max(0, now - (message.began ?? now));
    const span = tracer.startSpan(operation.spanName, {
      kind: api.SpanKind.CLIENT,
      attributes: operation.span,
      links: linksTo(this.#recorder, message.headers),
      startTime: Date.now() - took,
    });
    if (span.isRecording()) {
      const { properties } = message;
      this.#identify(span, operation, properties, message.message);
    }
    this.#locate(span, message.queue);
    span.end();
    meters.received(operation.metric, took / 1000);
  }

  #receivedNothing({ queue, began, error }: NothingReceived): void {
    const { api, tracer, meters } = this.#recorder;
    const place = { exchange: "", routingKey: "", queue };
    const operation = this.#operation("get", "receive", place);
    const took = Math.max(0, performance.now() - began);
    const span = tracer.startSpan(operation.spanName, {
      kind: api.SpanKind.CLIENT,
      attributes: operation.span,
      startTime: Date.now() - took,
    });
    if (span.isRecording()) identify(span, operation);
    this.#locate(span, queue);
    const type = error && errorType(error);
    endWith(this.#recorder, span, type);
    meters.operated(operation.metric, took / 1000, type);
  }

  /** Handlers that return at once stay without a promise. */
  #process(
    first: Message<unknown> | undefined,
    batch: readonly Message<unknown>[] | undefined,
    next: () => void | Promise<void>,
  ): void | Promise<void> {
    const call = first && quietly(
      this.#recorder,
      () => this.#beginProcess(first, batch),
    );
    if (call === undefined) return next();
    let running: void | Promise<void>;
    try {
      running = this.#recorder.api.context.with(call.context, next);
    } catch (error) {
      call.failed(error);
      throw error;
    }
    return running === undefined ? call.ended() : promised(() => running, call);
  }

  #beginProcess(
    first: Message<unknown>,
    batch: readonly Message<unknown>[] | undefined,
  ): HandlerCall {
    const { api: { trace, SpanKind }, tracer } = this.#recorder;
    const place = placeOf(first);
    const operation = this.#operation("process", "process", place);
    const { parent, links } = batch === undefined
      ? this.#single(first)
      : this.#batch(batch);
    const span = tracer.startSpan(operation.spanName, {
      kind: SpanKind.CONSUMER,
      attributes: operation.span,
      links,
    }, parent);
    this.#locate(span, place.queue);
    if (span.isRecording()) {
      if (batch === undefined) {
        this.#identify(span, operation, cameWith(first), first);
        const { attempt } = first;
        if (attempt > 1) span.setAttribute("dashi.attempt", attempt);
      } else {
        identify(span, operation);
        span.setAttribute("messaging.batch.message_count", batch.length);
      }
    }
    const call = new HandlerCall(
      this.#recorder,
      span,
      operation.metric,
      this,
      trace.setSpan(extensible(parent), span),
      batch === undefined ? links : undefined,
      batch === undefined ? 1 : batch.length,
    );
    if (batch === undefined) this.#keep(first, call);
    else for (const each of batch) this.#keep(each, call);
    return call;
  }

  #single(message: Message<unknown>): Beginning {
    const { api: { propagation, trace }, continueTrace } = this.#recorder;
    const base = baseOf(this.#recorder);
    const { headers = NO_HEADERS } = cameWith(message);
    const context = contextOf(this.#recorder, base, headers);
    const creation = trace.getSpanContext(context);
    return {
      parent: continueTrace || creation === undefined
        ? context
        : propagation.getBaggage(context) === undefined
        ? base
        : trace.deleteSpan(context),
      links: creation === undefined ? [] : [{ context: creation }],
    };
  }

  #batch(messages: readonly Message<unknown>[]): Beginning {
    return {
      parent: baseOf(this.#recorder),
      links: messages.flatMap((each) =>
        linksTo(this.#recorder, cameWith(each).headers ?? NO_HEADERS)
      ),
    };
  }

  #settle(
    { action, message }: Settlement,
    next: () => Promise<void>,
  ): Promise<void> {
    const begun = this.settle(action, message);
    return begun === undefined ? next() : promised(next, begun);
  }

  #beginSettle(
    action: Settlement["action"],
    message: Message<unknown>,
  ): SettleRecording {
    const { api, tracer } = this.#recorder;
    const place = placeOf(message);
    const operation = this.#operation(action, "settle", place);
    const came = cameWith(message);
    const call = this.#callFor(message);
    const span = tracer.startSpan(operation.spanName, {
      kind: api.SpanKind.CLIENT,
      attributes: operation.span,
      links: call?.links ??
        linksTo(this.#recorder, came.headers ?? NO_HEADERS),
    }, call?.context ?? api.context.active());
    if (span.isRecording()) this.#identify(span, operation, came, message);
    this.#locate(span, place.queue);
    return new SettleRecording(this.#recorder, span, operation.metric);
  }

  get #operations(): Operations {
    return this.#events.operations;
  }

  #operation(
    name: string,
    type: OperationType,
    { exchange, routingKey, queue }: Place,
  ): Operation {
    return this.#operations.consume(name, type, exchange, routingKey, queue);
  }

  /** Says which queue it is at AWS. */
  #locate(span: Span, queue: string | undefined): void {
    if (queue === undefined || !this.#operations.isSqs) return;
    const url = this.#host.queueUrl(queue);
    if (url !== undefined) span.setAttribute("aws.sqs.queue.url", url);
  }

  /** In the message, for a weak map costs with each collection of garbage. */
  #keep(message: Message<unknown>, call: HandlerCall): void {
    if (
      message instanceof ReceivedMessage &&
      (message.kept === undefined || isCallOf(message.kept, this))
    ) message.kept = call;
    else this.#calls.set(message, call);
  }

  #callFor(message: Message<unknown> | undefined): HandlerCall | undefined {
    if (message === undefined) return undefined;
    const kept = message instanceof ReceivedMessage && message.kept;
    return isCallOf(kept, this) ? kept : this.#calls.get(message);
  }

  #identify(
    span: Span,
    operation: Operation,
    ids: Ids,
    message: Message<unknown> | undefined,
  ): void {
    identify(span, operation, ids);
    if (this.#operations.isRabbit && message instanceof ReceivedMessage) {
      const { deliveryTag } = message;
      span.setAttribute("messaging.rabbitmq.message.delivery_tag", deliveryTag);
    }
  }
}

/** Calls a function, and tells how its promise has settled before the caller knows. */
function promised(call: () => Promise<void>, watch: Watch): Promise<void> {
  let promise: Promise<void>;
  try {
    promise = call();
  } catch (error) {
    promise = Promise.reject(error);
  }
  return watched(promise, watch);
}

/** All that the span of a handler begins with. */
interface Beginning {
  readonly parent: Context;
  readonly links: Link[];
}
