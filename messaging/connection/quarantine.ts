import { UnsupportedError } from "../../model/errors.ts";
import type { Quarantined } from "../../transports/transport.ts";
import { onTopology } from "./on_topology.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import { checkCount, type OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";

/** Options of {@linkcode Quarantine.list}. */
export interface QuarantineListOptions extends OperationOptions {
  /** The maximum number of messages to list. @default {100} */
  readonly limit?: number | undefined;
}

const LIST: KnownOptions = optionsOf<QuarantineListOptions>("quarantine.list", {
  limit: true,
  signal: true,
  timeout: true,
});

/**
 * The messages of a queue that could not be read, or not be written again for a retry
 * or as a dead letter: on the broker, as they are, where no consumer looks. They stay
 * there until they are put back, or their queue is deleted.
 *
 * @example A queue of which all can be read
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://shop");
 * await connection.declare(new Queue("orders"));
 * assertEquals(await connection.quarantine("orders").list(), []);
 * ```
 */
export class Quarantine {
  readonly #session: Session;
  readonly #queue: string;

  /** Made by `connection.quarantine`. */
  constructor(session: Session, queue: string) {
    this.#session = session;
    this.#queue = queue;
  }

  /**
   * Lists the quarantined messages, the oldest first, or as many as the broker can tell of:
   * beanstalkd of the oldest alone.
   *
   * @throws {UnsupportedError} If the broker has none, as RabbitMQ, which dead-letters the original itself.
   */
  async list(
    options: QuarantineListOptions = {},
  ): Promise<readonly Quarantined[]> {
    checkKnown(options, LIST);
    const { limit = 100, ...call } = options;
    checkCount("limit", limit, Number.MAX_SAFE_INTEGER);
    return await onTopology(this.#session, call, (channel, limits) => {
      if (channel.listQuarantined === undefined) throw this.#missing();
      return channel.listQuarantined(this.#queue, { ...limits, limit });
    });
  }

  /**
   * Puts messages back to the end of their queue, to be delivered once more: those that
   * were listed, or all.
   *
   * @param messages Which. @default {all}
   * @returns How many were put back; missing ones are skipped.
   * @throws {UnsupportedError} As of `list`.
   */
  async putBack(
    messages?: readonly Quarantined[],
    options: OperationOptions = {},
  ): Promise<number> {
    const ids = messages?.map(({ id }) => id);
    return await onTopology(this.#session, options, (channel, limits) => {
      if (channel.putBack === undefined) throw this.#missing();
      return channel.putBack(this.#queue, ids, limits);
    });
  }

  #missing(): UnsupportedError {
    return new UnsupportedError(
      `Cannot look into the quarantine of queue "${this.#queue}": this broker has none`,
    );
  }
}
