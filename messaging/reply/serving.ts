import { Line } from "../../async/line.ts";
import type { CodecRegistry, EncodedBody } from "../../codec/mod.ts";
import { MAX_WAIT } from "../../model/checks.ts";
import { asError } from "../../model/error_text.ts";
import { UnroutableError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { secretsOf } from "../connection/dialling.ts";
import type { Session } from "../connection/session.ts";
import { mayPass } from "../connection/session_errors.ts";
import { checkHandler } from "../consume/checked.ts";
import { ATTEMPTS_BY_DEFAULT } from "../consume/handler_retry.ts";
import type { Message, ReceivedMessage } from "../consume/message.ts";
import type { RunOptions } from "../consume/run_options.ts";
import { handlerFailed } from "../consume/teller.ts";
import { checkKnown } from "../known_options.ts";
import {
  type MessagePublisher,
  NO_PLACE,
  type OrderedPlace,
} from "../publish/publish_call.ts";
import { encode } from "../publish/encoding.ts";
import {
  SERVE,
  type ServeContext,
  type ServeOptions,
} from "./serve_options.ts";
import { DIRECT, errorHeaders, timeLeft } from "./wire.ts";

/** An answer that may come after its deadline is kept so long, ms: clocks differ. */
const LEEWAY = 1000;

/** The handler that is called for each request. */
export type ServeHandler<T, A> = (
  request: Message<T>,
  context: ServeContext,
) => A | Promise<A>;

/** The services that a {@linkcode Server} has from its consumer. */
export interface ServerHost<T> {
  readonly session: Session;
  readonly publisher: MessagePublisher;
  readonly codecs: CodecRegistry;
  /** Calls a handler for messages whose payloads are right, and throws for the others. */
  checked(
    handler: (message: Message<T>) => void | Promise<void>,
  ): (message: ReceivedMessage<T>) => void | Promise<void>;
}

/** Calls a handler for requests, and publishes its result, or its error, as the answer. */
export class Server<T, A> {
  readonly #handler: ServeHandler<T, A>;
  readonly #options: ServeOptions<T>;
  readonly #host: ServerHost<T>;
  readonly #place: OrderedPlace = { ...NO_PLACE, line: new Line() };

  /** Makes one for a run. */
  constructor(
    handler: ServeHandler<T, A>,
    options: ServeOptions<T>,
    host: ServerHost<T>,
  ) {
    checkHandler(
      handler,
      "serve by",
      "takes a request and returns the answer",
    );
    checkKnown(options, SERVE);
    this.#handler = handler;
    this.#options = options;
    this.#host = host;
  }

  /** The options that its consumer runs with. */
  get runOptions(): RunOptions<T> {
    const { serializer: _1, compression: _2, ...run } = this.#options;
    return run;
  }

  /** Sees to one request. A request for which it throws is tried again, or given up, as with any handler. */
  readonly handle = async (message: ReceivedMessage<T>): Promise<void> => {
    const { session } = this.#host;
    const { headers = {}, expiration } = message.properties;
    const left = timeLeft(headers, expiration, session.clock.wall());
    if (left !== undefined && left <= 0) {
      session.replies.expired++;
      return;
    }
    const context = new Context(session, message, left);
    let answer: A | undefined;
    let isCalled = false;
    try {
      await this.#host.checked(async (request) => {
        isCalled = true;
        answer = await this.#handler(request, context);
      })(message);
      // An invalid request fails with its error.
      if (!isCalled && message.invalid !== undefined) throw message.invalid;
    } catch (error) {
      return await this.#failed(message, error, context);
    } finally {
      context.end();
    }
    await this.#answer(message, answer, context);
  };

  async #failed(
    message: ReceivedMessage<T>,
    error: unknown,
    context: Context,
  ): Promise<void> {
    const { retry } = this.#options;
    const isUnreadable = message.isUnreadable(error);
    if (replyToOf(message) === undefined) throw error; // nobody else is told of it
    if (retry && !isUnreadable) {
      const { attempts = ATTEMPTS_BY_DEFAULT } = retry;
      if (message.attempt < attempts) throw error;
    }
    await this.#publish(message, null, this.#errorHeaders(error), context);
    if ((retry || isUnreadable) && !message.settled) throw error;
    this.#tell(message, error);
  }

  async #answer(
    message: ReceivedMessage<T>,
    answer: A | undefined,
    context: Context,
  ): Promise<void> {
    if (replyToOf(message) === undefined) return;
    await this.#publish(message, answer ?? null, {}, context);
  }

  /** Publishes an answer. An answer that reaches no queue, or cannot be published for good, is counted; other errors are thrown. */
  async #publish(
    message: ReceivedMessage<T>,
    answer: unknown,
    headers: FieldTable,
    context: Context,
  ): Promise<void> {
    const { session, codecs } = this.#host;
    try {
      const body = await encode(codecs, answer, this.#options);
      return await this.#send(message, body, headers, context);
    } catch (error) {
      if (mayPass(error)) throw error;
      if (!(error instanceof UnroutableError)) {
        // It cannot be written, or is too large: the requester is told so.
        this.#tell(message, error);
        try {
          const body = await encode(codecs, null, {});
          const why = this.#errorHeaders(error);
          return await this.#send(message, body, why, context);
        } catch (last) {
          if (mayPass(last)) throw last;
        }
      }
      session.replies.undelivered++;
    }
  }

  async #send(
    message: ReceivedMessage<T>,
    { body, contentType, contentEncoding, compression }: EncodedBody,
    headers: FieldTable,
    { left }: Context,
  ): Promise<void> {
    const { session, publisher } = this.#host;
    const { correlationId, messageId } = message.properties;
    const routingKey = replyToOf(message) ?? "";
    const mandatory = session.knowsQueues && !routingKey.startsWith(DIRECT);
    const expires = left !== undefined &&
      session.capabilities.has("message-ttl");
    const { deadline } = session.call();
    await publisher.publish(
      {
        exchange: "",
        routingKey,
        mandatory,
        delay: 0,
        properties: {
          contentType,
          contentEncoding,
          headers: compression === undefined
            ? headers
            : { ...headers, compression },
          deliveryMode: "transient",
          correlationId: correlationId ?? messageId,
          messageId: crypto.randomUUID(),
          ...(expires
            ? { expiration: Math.min(Math.ceil(left + LEEWAY), MAX_WAIT) }
            : {}),
        },
        body,
        ownsProperties: true,
      },
      {
        signal: undefined,
        deadline,
        retry: true,
        mandatory,
        request: message,
      },
      this.#place,
    );
  }

  #errorHeaders(error: unknown): FieldTable {
    const { clock, endpoint } = this.#host.session;
    return errorHeaders(error, clock.wall(), secretsOf(endpoint));
  }

  /** The requester has been told: nothing becomes of it, and nobody needs a line on the console. */
  #tell(message: ReceivedMessage<T>, thrown: unknown): void {
    const error = asError(thrown);
    const { session } = this.#host;
    session.emit(handlerFailed(error, message, undefined), true);
    try {
      const told: unknown = this.#options.onError?.(error, message);
      if (told instanceof Promise) told.catch(() => {});
    } catch {
      // It must not keep the answer from the requester.
    }
  }
}

/** The context that a handler has beside its request. Nothing is made unless it is asked for. */
class Context implements ServeContext {
  readonly #session: Session;
  readonly #message: ReceivedMessage<unknown>;
  readonly left: number | undefined;
  readonly deadline: Date | undefined;
  #controller: AbortController | undefined;
  #stop: (() => void) | undefined;
  #hasEnded = false;

  constructor(
    session: Session,
    message: ReceivedMessage<unknown>,
    left: number | undefined,
  ) {
    this.#session = session;
    this.#message = message;
    this.left = left;
    this.deadline = left === undefined
      ? undefined
      : new Date(session.clock.wall() + left);
  }

  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal;
    const controller = this.#controller = new AbortController();
    const { signal } = this.#message;
    const lost = () => controller.abort(signal.reason);
    if (signal.aborted) lost();
    else signal.addEventListener("abort", lost, { once: true });
    const { clock } = this.#session;
    const late = () =>
      controller.abort(
        new DOMException(
          "Nobody waits for the answer any more: the request's deadline has passed",
          "TimeoutError",
        ),
      );
    const left = this.deadline === undefined
      ? Infinity
      : this.deadline.getTime() - clock.wall();
    const stop = left === Infinity || this.#hasEnded
      ? undefined
      : clock.timer(late, Math.max(0, left));
    this.#stop = () => {
      stop?.();
      signal.removeEventListener("abort", lost);
    };
    return controller.signal;
  }

  end(): void {
    this.#hasEnded = true;
    this.#stop?.();
  }
}

function replyToOf(message: ReceivedMessage<unknown>): string | undefined {
  const { replyTo } = message.properties;
  return replyTo === "" ? undefined : replyTo;
}
