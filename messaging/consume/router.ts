import { MessagingError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { nearest } from "../../url/nearest.ts";
import { validator } from "../entities/schema.ts";
import type { ReceivedMessage } from "./message.ts";
import {
  checkPolicies,
  checkRoutes,
  type Otherwise,
  type RouteHandler,
  type RouteOptions,
} from "./route_options.ts";
import { unreadable } from "./reading.ts";
import type { RunOptions } from "./run_options.ts";

/** A route, and what its payloads pass. */
interface Track {
  readonly check: ((payload: unknown) => unknown) | undefined;
  readonly handler: RouteHandler<unknown>;
}

/** Calls for each message the handler of its type. */
export class Router {
  readonly #tracks: ReadonlyMap<string, Track>;
  readonly #options: RouteOptions;
  readonly #cancel: () => Promise<void>;
  readonly #converted = new WeakSet<ReceivedMessage<unknown>>();
  #error: Error | undefined;

  /**
   * Makes one; `cancel` is called where a policy says that the run is to end, and each
   * handler is used as `watched` returns it.
   */
  constructor(
    routes: object,
    options: RouteOptions,
    autoAck: boolean,
    cancel: () => Promise<void>,
    watched: <F extends RouteHandler<unknown>>(
      handler: F,
    ) => RouteHandler<unknown>,
  ) {
    checkPolicies(options, autoAck);
    this.#tracks = new Map(
      Array.from(checkRoutes(routes), ([type, { schema, handler }]) => [type, {
        check: schema === undefined ? undefined : validator(schema),
        handler: watched(handler),
      }]),
    );
    const { unknown } = options;
    this.#options = typeof unknown === "function"
      ? { ...options, unknown: watched(unknown) }
      : options;
    this.#cancel = cancel;
  }

  /** The options that its consumer runs with. */
  get runOptions(): RunOptions<unknown> {
    const { unknown: _1, invalid: _2, ...run } = this.#options;
    return run;
  }

  /** The error that a policy ended the run with. */
  get error(): Error | undefined {
    return this.#error;
  }

  /** Sees to one message; a handler without a schema costs nothing beside its call. */
  readonly handle = (
    message: ReceivedMessage<unknown>,
  ): void | Promise<void> => {
    const { type } = message;
    const track = type === undefined ? undefined : this.#tracks.get(type);
    if (track === undefined) return this.#unknown(message, type);
    if (track.check === undefined) return track.handler(message);
    return this.#checked(message, track, track.check);
  };

  async #checked(
    message: ReceivedMessage<unknown>,
    { handler }: Track,
    check: (payload: unknown) => unknown,
  ): Promise<void> {
    await this.#convert(message, check);
    const { invalid } = message;
    if (invalid === undefined) return await handler(message);
    await this.#otherwise(message, invalid, this.#options.invalid);
  }

  /** Has a payload pass the check of its type, once, after its consumer's own. */
  async #convert(
    message: ReceivedMessage<unknown>,
    check: (payload: unknown) => unknown,
  ): Promise<void> {
    if (this.#converted.has(message)) return; // it is called again, here
    this.#converted.add(message);
    await message.read();
    if (message.invalid !== undefined) return;
    try {
      const payload = await check(message.payload);
      message.decide({ payload, error: undefined });
    } catch (error) {
      message.decide({ error: unreadable(error) });
    }
  }

  #unknown(
    message: ReceivedMessage<unknown>,
    type: string | undefined,
  ): void | Promise<void> {
    const { unknown } = this.#options;
    if (typeof unknown === "function") return unknown(message);
    return this.#otherwise(message, this.#noRoute(message, type), unknown);
  }

  async #otherwise(
    message: ReceivedMessage<unknown>,
    error: Error,
    policy: Otherwise = "park",
  ): Promise<void> {
    if (policy === "skip") return;
    if (policy === "park") {
      message.decide({ error }); // no other attempt would end better
      throw error;
    }
    this.#error ??= error;
    // First, so that it does not come again here.
    const cancelled = this.#cancel();
    cancelled.catch(() => {});
    await message.requeue();
  }

  #noRoute(
    { deliveryInfo: { queue } }: ReceivedMessage<unknown>,
    type: string | undefined,
  ): MessagingError {
    const types = [...this.#tracks.keys()];
    const meant = type === undefined ? undefined : nearest(type, types);
    const known = types.map((each) => quote(each)).join(", ");
    return new MessagingError(
      `Cannot handle a message of queue "${queue}" ${
        type === undefined ? "without a type" : `of type ${quote(type)}`
      }: ${
        meant === undefined ? "" : `the nearest route is ${quote(meant)}; `
      }there are routes for ${known}, and "unknown" of route says what becomes of others`,
      { code: "type-unknown" },
    );
  }
}
