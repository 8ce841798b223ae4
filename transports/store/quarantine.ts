import { type MessagingError, UnsupportedError } from "../../model/errors.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Publishing } from "../../model/message.ts";
import type {
  Peeked,
  Quarantined,
  QuarantineOptions,
  TransportEvent,
} from "../transport.ts";
import { settleOne } from "./doubted.ts";
import type {
  Malformed,
  QuarantinedItem,
  Reservation,
  Store,
} from "./store.ts";

/** Says whether an entry of a queue is no message. */
export function isMalformed(
  message: Publishing | Malformed,
): message is Malformed {
  return "error" in message;
}

/** What is told of a message that cannot be read: as of one that came by the default exchange. */
export function unread(
  queue: string,
  { body, error }: Malformed,
): Pick<
  Peeked,
  "exchange" | "routingKey" | "properties" | "body" | "malformed"
> {
  return {
    exchange: "",
    routingKey: queue,
    properties: {},
    body,
    malformed: error,
  };
}

/** Keeps messages that cannot be read, or not be written again, on the broker, as they are. */
export class Quarantine {
  readonly #store: Store;
  readonly #onEvent: ((event: TransportEvent) => void) | undefined;
  #count = 0;

  /** Makes one over a store; `onEvent` hears of each message. */
  constructor(
    store: Store,
    onEvent: ((event: TransportEvent) => void) | undefined,
  ) {
    this.#store = store;
    this.#onEvent = onEvent;
  }

  /**
   * Quarantines a message.
   *
   * @throws {SettlementError} If it was no longer ours.
   * @throws {UnsupportedError} If the store has no quarantine: the message is kept.
   */
  async add(
    reservation: Reservation,
    error: Error,
    options?: CallOptions,
  ): Promise<void> {
    const { queue, message } = reservation;
    const { quarantine } = this.#store;
    if (quarantine === undefined) {
      throw new UnsupportedError(
        `Cannot put a message of queue "${queue}" into quarantine: this store has none, and the message is kept`,
        { cause: error },
      );
    }
    await settleOne(
      reservation,
      "quarantine",
      (these) => quarantine.add(these, options),
    );
    this.#onEvent?.({
      type: "quarantined",
      queue,
      messageId: isMalformed(message)
        ? undefined
        : message.properties.messageId,
      error,
      count: ++this.#count,
    });
  }

  /** Lists the quarantined messages of a queue. */
  async list(
    queue: string,
    { limit, ...options }: QuarantineOptions,
  ): Promise<readonly Quarantined[]> {
    const { quarantine } = this.#store;
    if (quarantine === undefined) throw missing("list", queue);
    const found = await quarantine.list(queue, limit, options);
    return found.map(quarantined);
  }

  /** Puts the quarantined messages of a queue back; returns how many. */
  async putBack(
    queue: string,
    ids: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const { quarantine } = this.#store;
    if (quarantine === undefined) throw missing("put back", queue);
    return await quarantine.putBack(queue, ids, options);
  }
}

function missing(action: string, queue: string): MessagingError {
  return new UnsupportedError(
    `Cannot ${action} the quarantined messages of queue "${queue}": this store has none`,
  );
}

function quarantined({ handle, message }: QuarantinedItem): Quarantined {
  return isMalformed(message)
    ? {
      id: handle,
      exchange: "",
      routingKey: "",
      properties: {},
      body: message.body,
      malformed: message.error,
    }
    : {
      id: handle,
      exchange: message.exchange,
      routingKey: message.routingKey,
      properties: message.properties,
      body: message.body,
      malformed: undefined,
    };
}
