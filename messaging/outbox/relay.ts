import { backoff } from "../../async/backoff.ts";
import { asError } from "../../model/error_text.ts";
import {
  ClosedError,
  OptionError,
  UnsupportedError,
} from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type {
  NumberedOutboxRow,
  OutboxRelay,
  OutboxRows,
} from "../../transports/outbox.ts";
import { Connection, insideOf } from "../connection/connection.ts";
import type { Session } from "../connection/session.ts";
import { checkKnown } from "../known_options.ts";
import {
  checkCount,
  checkDuration,
  checkInterval,
  checkSignal,
  type OperationOptions,
} from "../operation_options.ts";
import type { Producer } from "../publish/producer.ts";
import {
  type OutboxEvent,
  RELAY,
  type RelayOptions,
} from "./outbox_options.ts";
import { readRow } from "./outbox_row.ts";

/** The pauses after failures, ms. */
const DELAYS = { initialDelay: 50, maxDelay: 5000 };

/** The shortest lease, ms: it is renewed over the network. */
const LEAST_LEASE = 100;

/** What a relay needs of its outbox. */
export interface RelayParts {
  readonly outbox: string;
  /** The database's. */
  readonly session: Session;
  readonly rows: (options?: OperationOptions) => Promise<OutboxRows>;
  readonly broker: Connection;
}

/** What became of some rows. */
interface Sent {
  /** The numbers of those that the broker has confirmed. */
  readonly ids: readonly number[];
  readonly messageIds: readonly string[];
  /** The first that failed. */
  readonly failure:
    | { readonly error: unknown; readonly messageId: string }
    | undefined;
}

/** Publishes the rows of an outbox. */
export class Relay {
  readonly #parts: RelayParts;
  readonly #me: OutboxRelay;
  readonly #signal: AbortSignal;
  readonly #most: number;
  readonly #drainTimeout: number;
  readonly #onEvent: (event: OutboxEvent) => void;
  readonly #producer: Producer;
  /** What the broker has confirmed, and is not removed yet. */
  #published: readonly number[] = [];
  #isRelay: boolean | undefined;
  #failures = 0;
  /** After a failure messages are published one by one, then more and more. */
  #limit: number;
  #wake: () => void = () => {};
  #hasNews = false;

  /** Makes one that does nothing yet. */
  constructor(parts: RelayParts, options: RelayOptions) {
    checkKnown(options, RELAY);
    const { lease = 5000, maxInFlight = 500, drainTimeout = 10_000 } = options;
    checkSignal(options.signal);
    checkCount("maxInFlight", maxInFlight, 10_000);
    checkDuration("drainTimeout", drainTimeout);
    checkInterval("lease", lease);
    if (lease < LEAST_LEASE) {
      throw new RangeError(
        `Cannot use ${lease} as "lease": it must be ${LEAST_LEASE} ms or more`,
      );
    }
    const { broker } = parts;
    if (!(broker instanceof Connection)) {
      throw new OptionError(
        `Cannot relay an outbox to ${
          quote(broker)
        }: give a connection, made by createConnection`,
      );
    }
    this.#parts = parts;
    this.#me = { name: crypto.randomUUID(), lease };
    this.#signal = options.signal ?? new AbortController().signal;
    this.#most = this.#limit = maxInFlight;
    this.#drainTimeout = drainTimeout;
    this.#onEvent = options.onEvent ?? (() => {});
    this.#producer = insideOf(broker).producer({
      declare: options.declare,
      maxInFlight,
    }, "relay");
  }

  /** Works until the signal aborts. */
  async run(): Promise<void> {
    const wake = () => this.#wake();
    this.#signal.addEventListener("abort", wake);
    try {
      while (!this.#signal.aborted) await this.#turn();
    } finally {
      this.#signal.removeEventListener("abort", wake);
      await this.#leave();
      await this.#producer.close();
    }
  }

  /** Reads rows, and publishes them. */
  async #turn(): Promise<void> {
    let rows: readonly NumberedOutboxRow[] | undefined;
    let stopListening = () => {};
    try {
      // A database that is away is waited for, and not longer than the relay is to work.
      const outbox = await this.#parts.rows({ signal: this.#signal });
      this.#hasNews = false;
      stopListening = outbox.listen(() => {
        this.#hasNews = true;
        this.#wake();
      });
      rows = await this.#next(outbox, this.#published, this.#limit);
      this.#published = [];
      this.#tellPlace(rows !== undefined);
      if (rows === undefined || rows.length === 0) {
        // Who is the relay says so in time, and who is not asks again; what is new is not his.
        const isIdle = rows === undefined || !this.#hasNews;
        if (rows === undefined) stopListening();
        if (isIdle) await this.#pause(this.#me.lease / 3);
        return;
      }
    } catch (error) {
      return await this.#failed(error, undefined);
    } finally {
      stopListening();
    }
    const { ids, messageIds, failure } = await this.#publish(rows);
    this.#published = ids;
    if (ids.length > 0) {
      this.#failures = 0;
      this.#limit = Math.min(2 * this.#limit, this.#most);
      this.#onEvent({ type: "published", messageIds });
    }
    if (failure === undefined) return;
    this.#limit = 1;
    await this.#failed(failure.error, failure.messageId);
  }

  #next(
    outbox: OutboxRows,
    published: readonly number[],
    limit: number,
  ): Promise<readonly NumberedOutboxRow[] | undefined> {
    const call = this.#parts.session.call();
    return outbox.next(this.#parts.outbox, this.#me, published, limit, call);
  }

  /**
   * Publishes rows, all at once and in order. After one that fails none is begun with: a
   * message that waits for a connection would overtake one that was lost with the last.
   */
  async #publish(rows: readonly NumberedOutboxRow[]): Promise<Sent> {
    const stop = new AbortController();
    const stopRenewing = this.#renew();
    const stopDraining = this.#drain(stop);
    const ids: number[] = [];
    const messageIds: string[] = [];
    let failure: Sent["failure"];
    const publish = async (row: NumberedOutboxRow) => {
      const { id, messageId } = row;
      try {
        await this.#producer.publish(row.body, {
          ...readRow(row),
          retry: false,
          signal: stop.signal,
        });
        ids.push(id);
        messageIds.push(messageId);
      } catch (error) {
        failure ??= { error, messageId };
        stop.abort(failure.error);
      }
    };
    await Promise.all(rows.map(publish));
    stopRenewing();
    stopDraining();
    return { ids, messageIds, failure };
  }

  /** What is on its way when all is to end has its time, and no more. */
  #drain(stop: AbortController): () => void {
    let stopTimer = () => {};
    const begin = () => {
      const late = () => stop.abort(this.#signal.reason);
      stopTimer = this.#parts.session.clock.timer(late, this.#drainTimeout);
    };
    if (this.#signal.aborted) begin();
    else this.#signal.addEventListener("abort", begin);
    return () => {
      this.#signal.removeEventListener("abort", begin);
      stopTimer();
    };
  }

  /** Stays the relay while messages are on their way. */
  #renew(): () => void {
    let isOver = false;
    let stop = () => {};
    const later = () => {
      stop = this.#parts.session.clock.timer(async () => {
        try {
          await this.#next(await this.#parts.rows(), [], 0);
        } catch {
          // The next turn fails, too, and tells.
        }
        if (!isOver) later();
      }, this.#me.lease / 3);
    };
    later();
    return () => {
      isOver = true;
      stop();
    };
  }

  #tellPlace(isRelay: boolean): void {
    if (isRelay === this.#isRelay) return;
    this.#isRelay = isRelay;
    this.#onEvent({ type: isRelay ? "relaying" : "waiting" });
  }

  async #failed(error: unknown, messageId: string | undefined): Promise<void> {
    if (this.#signal.aborted) return;
    const isForGood = error instanceof UnsupportedError &&
      messageId === undefined;
    if (isForGood || error instanceof ClosedError) throw error;
    const { session } = this.#parts;
    const delay = backoff(this.#failures++, {}, DELAYS, session.random());
    const event = {
      type: "failed",
      error: asError(error),
      messageId,
      delay,
    } as const;
    this.#onEvent(event);
    session.emit({
      ...event,
      type: "outbox-failed",
      outbox: this.#parts.outbox,
    });
    await this.#pause(delay);
  }

  /** Waits, unless it is woken. */
  async #pause(delay: number): Promise<void> {
    if (this.#signal.aborted) return;
    await new Promise<void>((resolve) => {
      const stop = this.#parts.session.clock.timer(resolve, delay);
      this.#wake = () => {
        stop();
        resolve();
      };
    });
    this.#wake = () => {};
  }

  /** Another may go on at once. */
  async #leave(): Promise<void> {
    if (this.#isRelay !== true) return;
    const isAway = this.#parts.session.open === undefined;
    if (isAway && this.#published.length === 0) return;
    try {
      const outbox = await this.#parts.rows({ timeout: this.#drainTimeout });
      const call = this.#parts.session.call();
      await outbox.leave(this.#parts.outbox, this.#me, this.#published, call);
    } catch {
      // Another goes on when the lease is over, and publishes again what is not removed.
    }
  }
}
