import type { FieldTable } from "../model/field_table.ts";
import type {
  Api,
  Context,
  SpanContext,
  TextMapPropagator,
} from "./api_client.ts";
import { extended, extensible } from "./contexts.ts";

/** Headers that a context is being written to: the given ones, and those that are added. */
interface Carrier {
  readonly given: FieldTable;
  added: Record<string, string> | undefined;
}

const SETTER = {
  set(carrier: Carrier, name: string, value: string): void {
    // A header that its publisher has set stays as it is.
    if (carrier.given[name] !== undefined) return;
    (carrier.added ??= {})[name] = value;
  },
};

const GETTER = {
  keys: (headers: FieldTable): string[] => Object.keys(headers),
  get(headers: FieldTable, name: string): string | undefined {
    const value = headers[name];
    if (typeof value === "string") return value;
    // Other programs write texts as bytes.
    return value instanceof Uint8Array
      ? new TextDecoder().decode(value)
      : undefined;
  },
};

/** Carries contexts in the headers of messages, as texts: `traceparent`, `tracestate`, `baggage`. */
export class Propagation {
  readonly #api: Api;
  readonly #own: TextMapPropagator | undefined;

  /** Makes one that uses a propagator; without one the global one, as it is at the time. */
  constructor(api: Api, propagator: TextMapPropagator | undefined) {
    this.#api = api;
    this.#own = propagator;
  }

  /**
   * Reads the context of a message's creation.
   *
   * @param base The context that it is added to.
   * @param headers The headers of the message.
   * @returns The base with the span and the baggage of the message, as far as there are.
   */
  extract(base: Context, headers: FieldTable): Context {
    const from = extensible(base);
    return extended(
      this.#own === undefined
        ? this.#api.propagation.extract(from, headers, GETTER)
        : this.#own.extract(from, headers, GETTER),
    );
  }

  /**
   * Reads the span that a message was created in.
   *
   * @param headers The headers of the message.
   * @returns Its context; `undefined` if there is none, or it is malformed.
   */
  creation(headers: FieldTable): SpanContext | undefined {
    const { ROOT_CONTEXT, trace } = this.#api;
    return trace.getSpanContext(this.extract(ROOT_CONTEXT, headers));
  }

  /**
   * Writes a context into headers.
   *
   * @param context The context.
   * @param headers The headers; they are left as they are.
   * @returns The headers with what was added; the same if nothing was.
   */
  inject(context: Context, headers: FieldTable): FieldTable {
    const carrier: Carrier = { given: headers, added: undefined };
    if (this.#own === undefined) {
      this.#api.propagation.inject(context, carrier, SETTER);
    } else this.#own.inject(context, carrier, SETTER);
    const { added } = carrier;
    return added === undefined ? headers : { ...headers, ...added };
  }
}
