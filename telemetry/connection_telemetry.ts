import type { Queue } from "../messaging/entities/queue.ts";
import type {
  ConnectionEvent,
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
import type { FieldTable } from "../model/field_table.ts";
import type { Context, Link, Span } from "./api_client.ts";
import { depthsOf } from "./depths.ts";
import type { Operation, Operations, OperationType } from "./operations.ts";
import {
  baseOf,
  cameWith,
  contextOf,
  endWith,
  errorType,
  identify,
  type Ids,
  linksTo,
  quietly,
  type Recorder,
  Recording,
} from "./recorder.ts";

/** Records the operations of one connection. */
export class ConnectionTelemetry {
  readonly #recorder: Recorder;
  readonly #host: MiddlewareHost;
  /** The calls of handlers: what becomes of a message belongs there. */
  readonly #calls = new WeakMap<Message<unknown>, HandlerCall>();
  #operations: Operations;
  #wasOpen = false;
  readonly #stopDepths: (() => void) | undefined;

  /** Makes one, of a connection that may have none of its messages on the way yet. */
  constructor(
    recorder: Recorder,
    host: MiddlewareHost,
    depthOf: readonly (Queue | string)[],
  ) {
    this.#recorder = recorder;
    this.#host = host;
    this.#operations = recorder.meters.operations(host.info());
    this.#wasOpen = host.state.type === "open";
    this.#stopDepths = depthOf.length === 0
      ? undefined
      : recorder.meters.watchDepths(() =>
        depthsOf(depthOf, host, (name) => this.#operations.queue(name))
      );
  }

  /** The hooks. */
  get middleware(): Middleware {
    return {
      publish: (message, next) => this.#publish(message, next),
      receive: (message) => {
        quietly(this.#recorder, () => this.#receive(message));
      },
      receivedNothing: (call) => {
        quietly(this.#recorder, () => this.#receivedNothing(call));
      },
      process: (message, next) => this.#process([message], next, false),
      processBatch: (messages, next) => this.#process(messages, next, true),
      settle: (settlement, next) => this.#settle(settlement, next),
      event: (event) => this.#event(event),
    };
  }

  #publish(
    message: OutgoingMessage,
    next: (changes?: OutgoingChanges) => Promise<void>,
  ): Promise<void> {
    const begun = quietly(this.#recorder, () => this.#beginPublish(message));
    if (begun === undefined) return next();
    const { headers, ended } = begun;
    return this.#settled(
      () => next(headers === message.headers ? undefined : { headers }),
      ended,
    );
  }

  #beginPublish(message: OutgoingMessage): {
    readonly headers: FieldTable;
    readonly ended: Ended;
  } {
    const { api, tracer, meters, propagation } = this.#recorder;
    const { context, trace, SpanKind } = api;
    const { origin, exchange, routingKey, headers, request } = message;
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
    if (span.isRecording()) identify(span, message.properties);
    const queue = exchange === "" ? routingKey : undefined;
    this.#locate(span, queue);
    const recording = new Recording(this.#recorder, span);
    const added = links.length > 0
      ? headers
      : propagation.inject(trace.setSpan(parent, span), headers);
    const { metric } = operation;
    if (isSent) meters.handling(metric, 1);
    return {
      headers: added,
      ended: (error) => {
        // The first message to a queue has found it out.
        this.#locate(span, queue);
        const took = recording.end(error);
        if (isSent) meters.published(metric, took, error);
        else meters.operated(metric, took, error);
      },
    };
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
      this.#identify(span, message.properties, message.message);
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
    this.#locate(span, queue);
    const type = error && errorType(error);
    endWith(this.#recorder, span, type);
    meters.operated(operation.metric, took / 1000, type);
  }

  /** Handlers that return at once stay without a promise. */
  #process(
    messages: readonly Message<unknown>[],
    next: () => void | Promise<void>,
    isBatch: boolean,
  ): void | Promise<void> {
    const [first] = messages;
    const begun = first === undefined ? undefined : quietly(
      this.#recorder,
      () => this.#beginProcess(first, messages, isBatch),
    );
    if (begun === undefined) return next();
    const { context, ended } = begun;
    let running: void | Promise<void>;
    try {
      running = this.#recorder.api.context.with(context, next);
    } catch (error) {
      this.#end(ended, errorType(error));
      throw error;
    }
    return running === undefined
      ? this.#end(ended, undefined)
      : this.#settled(() => running, ended);
  }

  #beginProcess(
    first: Message<unknown>,
    messages: readonly Message<unknown>[],
    isBatch: boolean,
  ): { readonly context: Context; readonly ended: Ended } {
    const { api, tracer, meters } = this.#recorder;
    const { trace, SpanKind } = api;
    const operation = this.#operation("process", "process", first.deliveryInfo);
    const { parent, links } = isBatch
      ? this.#batch(messages)
      : this.#single(first);
    const span = tracer.startSpan(operation.spanName, {
      kind: SpanKind.CONSUMER,
      attributes: operation.span,
      links,
    }, parent);
    this.#locate(span, first.deliveryInfo.queue);
    if (span.isRecording()) {
      if (isBatch) {
        span.setAttribute("messaging.batch.message_count", messages.length);
      } else {
        this.#identify(span, cameWith(first), first);
        const { attempt } = first;
        if (attempt > 1) span.setAttribute("dashi.attempt", attempt);
      }
    }
    const active = trace.setSpan(parent, span);
    const call = { context: active, links: isBatch ? undefined : links };
    for (const each of messages) this.#calls.set(each, call);
    const recording = new Recording(this.#recorder, span);
    const { length: count } = messages;
    const { metric } = operation;
    meters.handling(metric, count);
    return {
      context: active,
      ended: (error) =>
        meters.processed(metric, count, recording.end(error), error),
    };
  }

  #single(message: Message<unknown>): Beginning {
    const { api: { propagation, trace }, continueTrace } = this.#recorder;
    const came = cameWith(message);
    const base = baseOf(this.#recorder);
    const context = contextOf(this.#recorder, base, came.headers ?? {});
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
        linksTo(this.#recorder, cameWith(each).headers ?? {})
      ),
    };
  }

  #settle(settlement: Settlement, next: () => Promise<void>): Promise<void> {
    const ended = quietly(this.#recorder, () => this.#beginSettle(settlement));
    return ended === undefined ? next() : this.#settled(next, ended);
  }

  #beginSettle(settlement: Settlement): Ended {
    const { api, tracer, meters } = this.#recorder;
    const { action, message } = settlement;
    const operation = this.#operation(action, "settle", message.deliveryInfo);
    const came = cameWith(message);
    const call = this.#callFor(message);
    const span = tracer.startSpan(operation.spanName, {
      kind: api.SpanKind.CLIENT,
      attributes: operation.span,
      links: call?.links ?? linksTo(this.#recorder, came.headers ?? {}),
    }, call?.context ?? api.context.active());
    if (span.isRecording()) this.#identify(span, came, message);
    this.#locate(span, message.deliveryInfo.queue);
    const recording = new Recording(this.#recorder, span);
    return (error) =>
      meters.operated(operation.metric, recording.end(error), error);
  }

  /** Tells that an operation has ended. */
  #end(ended: Ended, error: string | undefined): void {
    quietly(this.#recorder, () => ended(error));
  }

  /** Calls a function, and tells how its promise has settled before the caller knows. */
  #settled(call: () => Promise<void>, ended: Ended): Promise<void> {
    let promise: Promise<void>;
    try {
      promise = call();
    } catch (error) {
      promise = Promise.reject(error);
    }
    return promise.then(
      () => this.#end(ended, undefined),
      (error) => {
        this.#end(ended, errorType(error));
        throw error;
      },
    );
  }

  #event(event: ConnectionEvent): void {
    const { meters } = this.#recorder;
    switch (event.type) {
      case "state":
        if (event.state.type === "open") this.#opened();
        else if (event.state.type === "closed") this.#stopDepths?.();
        break;
      case "handler-failed":
        if (event.next?.type === "retry") {
          const { queue, error } = event;
          meters.retried(this.#operations.queue(queue), errorType(error));
        }
        break;
      case "rejected":
        // Other brokers' dead letters are told by themselves.
        if (this.#operations.isRabbit) this.#gaveUp(event.queue, "rejected");
        break;
      case "dead-lettered":
        this.#gaveUp(event.queue, event.reason);
        break;
      case "parked":
      case "dropped":
      case "quarantined":
        this.#gaveUp(event.queue, event.type);
    }
  }

  /** It may be connected to another server than before. */
  #opened(): void {
    const { meters } = this.#recorder;
    this.#operations = meters.operations(this.#host.info());
    if (this.#wasOpen) meters.reconnected(this.#operations.queue(""));
    this.#wasOpen = true;
  }

  #gaveUp(queue: string, reason: string): void {
    const { meters } = this.#recorder;
    meters.deadLettered(this.#operations.queue(queue), reason);
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

  #callFor(message: Message<unknown> | undefined): HandlerCall | undefined {
    return message === undefined ? undefined : this.#calls.get(message);
  }

  #identify(
    span: Span,
    ids: Ids,
    message: Message<unknown> | undefined,
  ): void {
    identify(span, ids);
    if (this.#operations.isRabbit && message instanceof ReceivedMessage) {
      const { deliveryTag } = message;
      span.setAttribute("messaging.rabbitmq.message.delivery_tag", deliveryTag);
    }
  }
}

/** Told when an operation has ended: the kind of its error, if it has failed. */
type Ended = (error: string | undefined) => void;

/** The call of a handler for a message. */
interface HandlerCall {
  /** The context that it was called in. */
  readonly context: Context;
  /** The links of its span; `undefined` for one of several messages. */
  readonly links: Link[] | undefined;
}

/** The origin of a message. */
interface Place {
  readonly exchange: string;
  readonly routingKey: string;
  readonly queue: string;
}

/** All that the span of a handler begins with. */
interface Beginning {
  readonly parent: Context;
  readonly links: Link[];
}
