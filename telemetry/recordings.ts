import type {
  ProcessWatch,
  PublishWatch,
  Watch,
} from "../messaging/middleware/hooks.ts";
import type { FieldTable } from "../model/field_table.ts";
import type { Attributes, Context, Link, Span } from "./api_client.ts";
import { cannotRecord, endWith, errorType, type Recorder } from "./recorder.ts";

/** An operation that goes on, with its span: tells of both when it has ended. An object for each, and no function. */
abstract class Recording implements Watch {
  protected readonly recorder: Recorder;
  protected readonly span: Span;
  protected readonly metric: Attributes;
  /** When it began, ms. */
  readonly #began: number;

  constructor(recorder: Recorder, span: Span, metric: Attributes) {
    this.recorder = recorder;
    this.span = span;
    this.metric = metric;
    this.#began = performance.now();
  }

  ended(): void {
    this.#end(undefined);
  }

  /** The kind of an error alone is told: the text of one may show bodies and secrets. */
  failed(error: unknown): void {
    this.#end(errorType(error));
  }

  #end(error: string | undefined): void {
    const took = (performance.now() - this.#began) / 1000;
    // A provider of one of the two may fail.
    try {
      this.ending();
      endWith(this.recorder, this.span, error);
    } catch (thrown) {
      cannotRecord(this.recorder, thrown);
    }
    try {
      this.measure(took, error);
    } catch (thrown) {
      cannotRecord(this.recorder, thrown);
    }
  }

  /** Adds what its span gets last. */
  protected ending(): void {}

  /** Tells its metrics, in seconds. */
  protected abstract measure(took: number, error: string | undefined): void;
}

/** A publish that goes on, or a row that is being written. */
export class PublishRecording extends Recording implements PublishWatch {
  readonly headers: FieldTable;
  readonly #isSent: boolean;
  readonly #locate: ((span: Span) => void) | undefined;

  /**
   * Makes one that begins now.
   *
   * @param recorder The tools.
   * @param span Its span.
   * @param metric The attributes of its metrics.
   * @param headers The headers to publish it with.
   * @param isSent Whether it goes to a broker.
   * @param locate Says where it has gone, where that may turn out by then.
   */
  constructor(
    recorder: Recorder,
    span: Span,
    metric: Attributes,
    headers: FieldTable,
    isSent: boolean,
    locate: ((span: Span) => void) | undefined,
  ) {
    super(recorder, span, metric);
    this.headers = headers;
    this.#isSent = isSent;
    this.#locate = locate;
    if (isSent) recorder.meters.handling(metric, 1);
  }

  protected override ending(): void {
    this.#locate?.(this.span);
  }

  protected override measure(took: number, error: string | undefined): void {
    const { meters } = this.recorder;
    if (this.#isSent) meters.published(this.metric, took, error);
    else meters.operated(this.metric, took, error);
  }
}

/** The call of a handler: what becomes of its messages belongs there. */
export class HandlerCall extends Recording implements ProcessWatch {
  /** Whose it is. */
  readonly owner: object;
  /** The context that it is called in. */
  readonly context: Context;
  /** The links of its span; `undefined` for one of several messages. */
  readonly links: Link[] | undefined;
  readonly #count: number;

  /**
   * Makes one that begins now.
   *
   * @param recorder The tools.
   * @param span Its span.
   * @param metric The attributes of its metrics.
   * @param owner Whose it is.
   * @param context The context to call the handler in.
   * @param links The links of its span, of a single message.
   * @param count How many messages it is called for.
   */
  constructor(
    recorder: Recorder,
    span: Span,
    metric: Attributes,
    owner: object,
    context: Context,
    links: Link[] | undefined,
    count: number,
  ) {
    super(recorder, span, metric);
    this.owner = owner;
    this.context = context;
    this.links = links;
    this.#count = count;
    recorder.meters.handling(metric, count);
  }

  call<M>(
    handler: (message: M) => void | Promise<void>,
    message: M,
  ): void | Promise<void> {
    const { context } = this.recorder.api;
    return context.with(this.context, handler, undefined, message);
  }

  protected override measure(took: number, error: string | undefined): void {
    const { meters } = this.recorder;
    meters.processed(this.metric, this.#count, took, error);
  }
}

/**
 * Whether what is kept with a message is the call of a handler.
 *
 * @param kept The thing that is kept.
 * @param owner Whose call it has to be.
 * @returns Whether it is.
 */
export function isCallOf(kept: unknown, owner: object): kept is HandlerCall {
  return kept instanceof HandlerCall && kept.owner === owner;
}

/** A settlement that goes on. */
export class SettleRecording extends Recording {
  protected override measure(took: number, error: string | undefined): void {
    this.recorder.meters.operated(this.metric, took, error);
  }
}
