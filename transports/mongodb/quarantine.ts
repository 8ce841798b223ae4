import type { CallOptions } from "../../model/call_options.ts";
import type {
  QuarantinedItem,
  QuarantineStore,
  Reservation,
} from "../store/store.ts";
import type { BroadcastReservation } from "./fanout.ts";
import type { Context } from "./context.ts";
import { HIDDEN_FIELDS, hiddenName, rankIn, readMessage } from "./documents.ts";
import { PLACE_FIELDS } from "./lane_documents.ts";
import type { Fields } from "./port.ts";
import type { Reserver } from "./reserver.ts";
import { isBroadcast, type Settlements } from "./settlements.ts";

/** The quarantine of queues: under a name of their own, where nobody takes them. */
export class Quarantine implements QuarantineStore {
  readonly #context: Context;
  readonly #settlements: Settlements;
  readonly #reserver: Reserver;

  /** Makes it for one connection; the reserver hears of queues that get messages back. */
  constructor(
    context: Context,
    settlements: Settlements,
    reserver: Reserver,
  ) {
    this.#context = context;
    this.#settlements = settlements;
    this.#reserver = reserver;
  }

  /** Puts messages under a name of their own, where nobody takes them. */
  async add(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]> {
    await this.#addBroadcasts(reservations.filter(isBroadcast), options);
    return await this.#settlements.settle(
      reservations,
      (held) =>
        this.#settlements.free(
          held,
          this.#settlements.update(
            "quarantine messages",
            held.map(({ filter, lane, queue }) => ({
              filter,
              update: {
                $set: { queue: hiddenName(queue, "malformed"), priority: 0 },
                $unset: {
                  claim: "",
                  ...(lane === undefined ? {} : PLACE_FIELDS),
                },
              },
            })),
            options,
          ),
        ),
    );
  }

  /** Lists the quarantined messages of a queue, the oldest first. */
  async list(
    queue: string,
    limit: number | undefined,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]> {
    const found = await this.#find(queue, limit, options);
    return found.map((document) => ({
      handle: String(document._id),
      message: readMessage(document).message,
    }));
  }

  /** Puts the quarantined messages of a queue back; returns how many. */
  async putBack(
    queue: string,
    handles: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number> {
    const found = await this.#find(queue, undefined, options);
    const wanted = handles && new Set(handles);
    const count = await this.#settlements.update(
      "put messages back",
      found.filter(({ _id }) => wanted?.has(String(_id)) !== false).map(
        (document) => {
          const { message } = readMessage(document);
          return {
            filter: { _id: document._id, queue: document.queue },
            update: {
              $set: { queue, priority: rankIn(document, message) },
              $unset: HIDDEN_FIELDS,
            },
          };
        },
      ),
      options,
    );
    this.#reserver.notePut([queue]);
    return count;
  }

  async #find(
    queue: string,
    limit: number | undefined,
    options?: CallOptions,
  ): Promise<readonly Fields[]> {
    const { client, settings: { names } } = this.#context;
    return await this.#context.call(
      `read the quarantined messages of queue "${queue}"`,
      options,
      () =>
        client.find(
          names.messages,
          { queue: hiddenName(queue, "malformed") },
          { sort: { _id: 1 }, limit },
        ),
    );
  }

  async #addBroadcasts(
    reservations: readonly BroadcastReservation[],
    options?: CallOptions,
  ): Promise<void> {
    if (reservations.length === 0) return;
    const { client, settings: { names } } = this.#context;
    await this.#context.call(
      "quarantine messages",
      options,
      () =>
        client.insert(
          names.messages,
          reservations.map(({ queue, document: { payload } }) => ({
            _id: client.newId(),
            payload,
            queue: hiddenName(queue, "malformed"),
            priority: 0,
          })),
        ),
    );
  }
}
