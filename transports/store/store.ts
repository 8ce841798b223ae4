import type { CallOptions } from "../../model/call_options.ts";
import type { UnsupportedError } from "../../model/errors.ts";
import type { FieldTable } from "../../model/field_table.ts";
import type { MessageProperties, Publishing } from "../../model/message.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import type { SqlTransaction } from "../../model/transaction.ts";
import type {
  QueueRecord,
  Topology,
  TopologyChange,
} from "../../virtual/topology.ts";
import type { OutboxRows } from "../outbox.ts";
import type { Rates } from "../rates.ts";
import type { DelayedMessages } from "../delayed.ts";
import type { QueueCounts } from "../inspection.ts";
import type { Peer } from "../peer.ts";
import type { ServerInfo } from "../server_info.ts";
import type { Capability, CloseReason } from "../transport.ts";

/**
 * The few verbs that a broker must have to carry the emulation of exchanges, in parts:
 * the library asks each part itself, with all the options that a call has.
 *
 * The verbs may be called at the same time, also those of one reservation: a `renew` may
 * meet its `remove`. A failed call rejects with a `MessagingError`; if the store cannot be
 * used any more, `closed` settles as lost, too, and the library opens another. It asks for
 * nothing that is not among the capabilities, and refuses it for the store.
 */
export interface Store extends AsyncDisposable {
  /** The maximum numbers and sizes of one call. */
  readonly limits: StoreLimits;
  /** The capabilities of the broker. */
  readonly capabilities: ReadonlySet<Capability>;
  /** Settles once, when the store can no longer be used. Never rejects. */
  readonly closed: Promise<CloseReason>;
  /** The messages in its queues. */
  readonly messages: MessageStore;
  /**
   * Tells when a queue may have something. If there is one, the library never lets
   * `reserve` wait, and asks for those queues alone of which it was notified.
   */
  readonly notifier?: QueueNotifier | undefined;
  /**
   * The tables of exchanges, queues, bindings and consumers, where the broker keeps them.
   * Without it the library keeps those of each connection, which nobody else sees, and
   * tells `queues` of its queues.
   */
  readonly topology?: TopologyStore | undefined;
  /** The queues at the broker, for tables of the library. Without it nothing is to be made. */
  readonly queues?: QueueStore | undefined;
  /** Its owners, if it knows which are alive. */
  readonly presence?: PresenceStore | undefined;
  /** Messages to all listeners, if the broker has such a thing. */
  readonly broadcasts?: BroadcastStore | undefined;
  /**
   * The place for messages that cannot be read, or not be written again. Without it such a
   * message is refused, stays held, and comes again.
   */
  readonly quarantine?: QuarantineStore | undefined;
  /** Rates that hold over all processes: they are the capability `shared-rate`. */
  readonly rates?: Rates | undefined;
  /** Looks into the broker: it is the capability `inspect`. */
  readonly inspection?: InspectionStore | undefined;
  /** Puts messages in transactions of the caller's: it is the capability `transaction`. */
  readonly transactions?: TransactionStore | undefined;
  /** Keeps rows that are written in transactions of the caller's, to be published elsewhere. */
  readonly outbox?: OutboxRows | undefined;
  /** Asks the server what it is; `undefined` where it tells nothing. */
  serverInfo?(options?: CallOptions): Promise<ServerInfo | undefined>;
  /** Tells who is at the other end of its socket; `undefined` where it has none, or has several. */
  peer?(): Peer | undefined;
  /** Tells the URL of a queue, where the broker's have such, as far as it is known; nothing is asked. */
  queueUrl?(queue: string): string | undefined;
  /** The client underneath, for `connection.native`. */
  native?(): unknown;
  /**
   * Ends it at once and without a word to the broker, which does not answer. Every call
   * that waits for that answer rejects, and a disposal that is under way ends soon.
   */
  destroy?(): void;
}

/** The messages of a store. Messages that are put one after another are taken in that order. */
export interface MessageStore extends DelayedMessages {
  /** Counts the ready messages, or `undefined` if there is no such queue. */
  count(queue: string, options?: CallOptions): Promise<number | undefined>;
  /** Removes the ready messages; returns how many. */
  purge(queue: string, options?: CallOptions): Promise<number>;
  /** Appends the copies of one message to their queues, all or none where the broker can. */
  put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult>;
  /**
   * Says why a message for a queue can leave no mark. For brokers that lack the capability
   * `dedupe`, and know duplicates by themselves in some of their queues: `put` is given the
   * mark then, and its result may be that of a message that was put.
   */
  refuseMark?(queue: string, mark: Mark): UnsupportedError | undefined;
  /**
   * Takes messages out of sight; waits up to `wait` for the first. An aborted call
   * gives back the messages that it took, and nobody has seen them: they are not redelivered.
   *
   * With the capability `message-ttl`, expired messages are among them, of any queue that
   * dead-letters, asked for or not: a caller that waits for a dead letter asks for another
   * queue. Where the store has no `topology` these are queues that its `create` was given
   * as such: the library removes what expired in any other. Without that capability,
   * `expired` is always false.
   *
   * A queue that was deleted is `missing`. Without `known-queues` one that is not there
   * may be empty: then only a call that waits says so, or, where there is a notifier, one
   * for a queue that is listened to.
   */
  reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved>;
  /** Forgets reserved messages: they are done. Returns those that were no longer ours. */
  remove(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]>;
  /** Puts reserved messages back where they were, marked as redelivered. Returns those that were no longer ours. */
  release(
    reservations: readonly Reservation[],
    options?: ReleaseOptions,
  ): Promise<readonly Reservation[]>;
  /** Keeps reserved messages out of sight for longer, where leases expire. Returns those that were no longer ours. */
  renew?(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]>;
  /**
   * Promotes delayed messages that are due, for consumers that are not ours: in
   * `queues`, and wherever else the store looks by itself. For stores whose brokers
   * do not do it.
   *
   * @returns Milliseconds until there is more to do, as far as is known; or `Infinity`.
   */
  promoteDue?(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<number>;
  /**
   * Gets rid of rejected messages whose queue dead-letters nowhere, where the broker
   * may have a rule of its own for them; else they are removed. Returns those that were
   * no longer ours.
   */
  drop?(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]>;
  /**
   * Says whether `drop` leaves a message to a rule of the broker's own: then it is not
   * parked elsewhere.
   */
  redrives?(reservation: Reservation, options?: CallOptions): Promise<boolean>;
}

/** Tells when there may be something to reserve. */
export interface QueueNotifier {
  /**
   * Listens to a queue, from which something may be reserved already: each time that it may
   * have something more, or is deleted, one of those who listen to it is called, and where
   * one of them ends and leaves something, the next. The end of a delay and of a lease is
   * such news, too. An expired message of any queue is announced to any listener.
   *
   * @param queue The queue.
   * @param onNews Called with that queue. Must not throw, nor call the store at once.
   * @returns A function that ends it.
   */
  listen(queue: string, onNews: (queue: string) => void): () => void;
}

/** The tables of a store. */
export interface TopologyStore {
  /**
   * The mark of the routes as they are now, for tables that are at hand: a message is
   * then routed by no others, and `put` is given no `version`.
   */
  readonly routes?: string | undefined;
  /** Reads the declarations around an exchange or a queue, with a mark of how new it is. */
  read(of: TopologyKey, options?: CallOptions): Promise<TopologyView>;
  /**
   * The same around several at once: a view of all that each of them leads to. With it
   * changes that wait for each other, and only add, are planned on one view and made in one
   * step: where a read and a change take their time, many of them take no more.
   */
  readTogether?(
    all: readonly TopologyKey[],
    options?: CallOptions,
  ): Promise<TopologyView>;
  /** Makes planned changes in one step: creates or deletes queues too. `stale`: the view was old, read and plan again. */
  apply(
    changes: readonly TopologyChange[],
    version: string,
    options?: CallOptions,
  ): Promise<ChangeResult>;
  /**
   * Looks, anew, for a queue that the tables do not name: other programs may use it all
   * the same. If it is there, the tables name it from then on. For stores that other
   * programs use too, and where a message may be put into a queue that nobody has
   * declared. Asked only before somebody is told that there is no such queue.
   */
  findQueue?(name: string, options?: CallOptions): Promise<QueueSearch>;
}

/** The queues of a broker that keeps no tables. */
export interface QueueStore {
  /** Makes a queue, unless it is there. */
  create(queue: QueueDeclaration, options?: CallOptions): Promise<void>;
  /** Deletes a queue and all that is in it; returns how many messages were ready. */
  delete(name: string, options?: CallOptions): Promise<number>;
}

/** The owners of a store that are alive. */
export interface PresenceStore {
  /**
   * Says that `owner` is alive for `ttl` ms more. Returns dead owners, their
   * reservations already given back, for the caller to delete the entities that they own; and
   * `owner` itself if it was taken for dead: then its reservations are lost.
   */
  heartbeat(
    owner: string,
    ttl: number,
    options?: CallOptions,
  ): Promise<readonly string[]>;
}

/** The broadcasts of a store. */
export interface BroadcastStore {
  /**
   * Sends a message to all present listeners: PUB/SUB, a notification topic, a capped
   * collection. With a `version` a store that can checks it in the same step.
   */
  send(
    exchange: string,
    message: Publishing,
    options?: BroadcastOptions,
  ): Promise<BroadcastResult>;
  /**
   * Says into which of the queues that are bound to a fanout exchange a message is put
   * besides: `put` then announces it on the exchange in the same step, for those whom
   * `send` reaches, and they tell that it is in our queues already. Without it, what
   * is broadcast is put nowhere.
   */
  putsInto?(queue: QueueRecord): boolean;
}

/**
 * The quarantine of a store: where no consumer looks and an operator finds messages, on
 * the broker and with their bytes as they are, for as long as their queue lasts.
 */
export interface QuarantineStore {
  /**
   * Quarantines messages. A message that cannot be read is quarantined when it is rejected,
   * and so is one that can be read but not be written again when a retry or a dead letter
   * would have to: a header that has no form in JSON, or no room for the headers that would
   * be added. Nothing else is done with the message, and nothing is deleted if it fails
   * half way: rather there are two. A reservation that lies nowhere, for it was broadcast,
   * is written there. Returns those that were no longer ours.
   */
  add(
    reservations: readonly Reservation[],
    options?: CallOptions,
  ): Promise<readonly Reservation[]>;
  /** Lists the quarantined messages of a queue, the oldest first, or as many as the broker can tell of. */
  list(
    queue: string,
    limit: number,
    options?: CallOptions,
  ): Promise<readonly QuarantinedItem[]>;
  /**
   * Puts quarantined messages back into their queue, to be delivered once more: those
   * with these handles, or all. Returns how many were put back; those that are not
   * there any more are passed over.
   */
  putBack(
    queue: string,
    handles: readonly string[] | undefined,
    options?: CallOptions,
  ): Promise<number>;
}

/** Looks into the queues of a store, and changes nothing. */
export interface InspectionStore {
  /** Reads all that is declared. Without it what `topology.read` returns is all of it. */
  tables?(options?: CallOptions): Promise<Topology>;
  /**
   * Lists the queues that are there, page by page, whether the tables name them or not.
   * Without it those in `tables` are all.
   */
  names?(limits: () => CallOptions): AsyncIterable<readonly string[]>;
  /** Counts what is in up to 50 queues; `undefined` for one that is not there. */
  look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly (StoredCounts | undefined)[]>;
  /**
   * Counts what consumers hold of each queue, for a broker that keeps it in one place: it is
   * asked once for all pages of `look`, whose `unacked` then are not looked at. A queue that
   * is not named has none.
   */
  tally?(options?: CallOptions): Promise<ReadonlyMap<string, number>>;
  /**
   * Reads the ready messages whose turn comes first, and leaves them. Without it, or where it
   * returns `undefined` for the broker shows no more than the first, they are taken and given back.
   */
  peek?(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[] | undefined>;
}

/** Puts messages in transactions of the caller's: they are there if those commit, and when. */
export interface TransactionStore {
  /**
   * Looks at the tables within a transaction, and lets messages be put there.
   *
   * @param transaction The caller's.
   * @param work What is done in it.
   * @returns What `work` has returned.
   * @throws {OptionError} If it is no transaction of this database.
   */
  enter<T>(
    transaction: SqlTransaction,
    work: (entered: EnteredTransaction) => Promise<T>,
  ): Promise<T>;
}

/** A transaction of the caller's, from within. */
export interface EnteredTransaction {
  /** The tables, all of them. */
  readonly view: TopologyView;
  /** Appends the copies of one message to their queues. */
  put(items: readonly StoreItem[]): Promise<void>;
}

/** How much is in a queue; with the capability `shared-topology` its consumers are counted by the tables. */
export type StoredCounts = Omit<QueueCounts, "consumers">;

/** A message that was looked at. */
export type PeekedItem = Pick<
  Reservation,
  "message" | "redelivered" | "deliveryCount"
>;

/** The part of the topology to read: an exchange, a queue, or everything that an owner has. */
export interface TopologyKey {
  /** Which of them. */
  readonly type: "exchange" | "queue" | "owner";
  /** Its name. */
  readonly name: string;
  /**
   * Whether a queue is used by it, and so stays for its `x-expires` once more. A message on
   * its way uses none. @default {true}
   */
  readonly uses?: boolean | undefined;
}

/** An exchange with all it leads to, or a queue with all that leads to it, or all that an owner has. */
export interface TopologyView {
  /** The tables, at least as far as the key reaches. Read only. */
  readonly topology: Topology;
  /** A mark that changes whenever the tables do. */
  readonly version: string;
  /**
   * A mark that changes whenever a route may: it stays as it is while consumers come and go.
   * `put` and `broadcast` are given this one. @default {the version}
   */
  readonly routes?: string | undefined;
}

/** The result of a search for a queue. */
export interface QueueSearch {
  /** Whether it is there, or may be: where the broker lets nobody look, it may be. */
  readonly isThere: boolean;
  /** Names of queues that were met meanwhile, beside those in the tables. */
  readonly names: Iterable<string>;
}

/** The result of applying planned changes. */
export type ChangeResult =
  | {
    readonly type: "applied";
    /** How many messages went with queues that were deleted. */
    readonly messageCount: number;
  }
  | { readonly type: "stale" }
  | { readonly type: "not-empty" };

/** The maximum numbers and sizes of one call to a store. */
export interface StoreLimits {
  /**
   * The largest body of a message, bytes: the library refuses a larger one. `put` itself
   * refuses what is too large only as it is stored.
   */
  readonly itemBytes: number;
  /** The maximum number of messages that one `reserve` is asked for of one queue. */
  readonly reserveCount: number;
  /** The maximum number of messages that are settled by one call. @default {128} */
  readonly settleCount?: number | undefined;
  /** The maximum number of queues that one `reserve` asks. */
  readonly reserveQueues: number;
  /** The longest that one `reserve` waits, ms. */
  readonly reserveWait: number;
  /** How long a reservation holds, ms, if it is not renewed, as it is after each third of it; `undefined`: as long as the connection. */
  readonly lease: number | undefined;
  /**
   * Whether to be reserved counts against a message, handled or not: the broker gives it
   * up when it has been too often. Then consumers are given no more than they would begin
   * with at once, and nothing lies in a buffer. @default {false}
   */
  readonly countsReserves?: boolean | undefined;
  /** The step of its delays, ms: one is rounded up to it. @default {1} */
  readonly delayStep?: number | undefined;
  /** The maximum number of bytes of a queue's name. @default {255} */
  readonly queueNameBytes?: number | undefined;
}

/** The copy of a message for one queue. */
export interface StoreItem {
  /** The queue's name. */
  readonly queue: string;
  /** The message, one object for all copies: encode it once. */
  readonly message: Publishing;
  /** The smaller of the message's and the queue's time to live, ms. */
  readonly ttl: number | undefined;
}

/** Options of {@linkcode MessageStore.put}. */
export interface PutOptions extends CallOptions {
  /** The routes of the view that the routing was decided on; a store that can, checks them in the same step. */
  readonly version?: string | undefined;
  /** Removed in the same step, or right after: for dead letters and retries. */
  readonly instead?: Reservation | undefined;
  /** Fanout exchanges on which the message is announced, too: only where there is `putsInto`. */
  readonly announced?: readonly string[] | undefined;
  /** The mark to leave in the same step, or `duplicate` if another has left it. Only with the capability `dedupe`. */
  readonly mark?: Mark | undefined;
}

/**
 * A mark by which a second message is known. A put that fails leaves none; a put that finds
 * one with its own token was done before: it is `put`, and nothing is put again.
 */
export interface Mark {
  /** Names it: printable ASCII. */
  readonly key: string;
  /** Milliseconds that it stays. */
  readonly window: number;
  /** Names the one who leaves it. */
  readonly token: string;
}

/** Options of {@linkcode MessageStore.release}. */
export interface ReleaseOptions extends CallOptions {
  /** Milliseconds that they stay out of sight; only for those that keep their place. */
  readonly delay?: number | undefined;
  /**
   * Instead of the headers of the one that is released, if it takes some; else ignored. It is
   * then as a message that was put anew, but for its place: not redelivered, nor delivered
   * before.
   */
  readonly headers?: FieldTable | undefined;
}

/** Options of {@linkcode BroadcastStore.send}. */
export interface BroadcastOptions extends CallOptions {
  /** The view that the routing was decided on. */
  readonly version?: string | undefined;
}

/**
 * The result of a broadcast; `stale`: the view was old, read and route again; `sent`: the
 * number of listeners, if the broker tells it. A `mandatory` message that reached no
 * listener is returned.
 */
export type BroadcastResult =
  | { readonly type: "stale" }
  | { readonly type: "sent"; readonly receivers: number }
  | void;

/** The result of a put. */
export type PutResult =
  | {
    readonly type: "put";
    /** Messages that a length limit pushed out, reserved for the caller to dead-letter or remove. */
    readonly displaced: readonly Reservation[];
  }
  /** A queue is full and refuses more. */
  | { readonly type: "full" }
  /** The view was old: read and route again. */
  | { readonly type: "stale" }
  /** `instead` was no longer ours: nothing was put. */
  | { readonly type: "lost" }
  /** Another has left the mark: nothing was put. */
  | { readonly type: "duplicate" };

/** The result of a put: all of it is there. */
export const PUT: PutResult = { type: "put", displaced: [] };
/** The result of a put on a view that was old. */
export const STALE: Extract<PutResult, { type: "stale" }> = { type: "stale" };
/** The result of a put whose mark another has left. */
export const DUPLICATE: Extract<PutResult, { type: "duplicate" }> = {
  type: "duplicate",
};
/** The result of a put whose `instead` was no longer ours. */
export const LOST: Extract<PutResult, { type: "lost" }> = { type: "lost" };

/** How many messages of a queue are wanted. */
export interface ReserveWant {
  /** The queue's name. */
  readonly queue: string;
  /** The maximum number to return, 1 or more. */
  readonly limit: number;
}

/** Options of {@linkcode MessageStore.reserve}. */
export interface ReserveOptions extends CallOptions {
  /** How long to wait for the first message, ms; 0 does not wait. */
  readonly wait: number;
}

/** The messages that {@linkcode MessageStore.reserve} took. */
export interface Reserved {
  /** The messages, in the order of each queue. */
  readonly reservations: readonly Reservation[];
  /** Queues that were deleted: their consumers end. */
  readonly missing: readonly string[];
  /** Queues that cannot be read, and why: their consumers end with that. */
  readonly failed?: ReadonlyMap<string, Error> | undefined;
}

/** An entry of a queue that is no message. */
export interface Malformed {
  /** Why not. */
  readonly error: Error;
  /** The raw bytes. */
  readonly body: Uint8Array;
}

/** A message in quarantine. */
export interface QuarantinedItem {
  /** The store's own name for it there. */
  readonly handle: string;
  /** The message, or why it is none. */
  readonly message: Publishing | Malformed;
}

/** A message that is out of sight for the others. */
export interface Reservation {
  /** The queue that it came from. */
  readonly queue: string;
  /** The store's own name for it: a receipt, a job number, a document's id. */
  readonly handle: string;
  /** The message, or why it is none. */
  readonly message: Publishing | Malformed;
  /** Whether the store goes on using the message: a consumer is given a copy. @default {false} */
  readonly sharesMessage?: boolean | undefined;
  /** The properties of the message, if reading them costs less than reading the message. */
  readonly properties?: MessageProperties | undefined;
  /** Whether it may have been delivered before. */
  readonly redelivered: boolean;
  /** How often it was delivered before, where the broker counts. */
  readonly deliveryCount: number | undefined;
  /** Milliseconds that it had left to live when it was taken; `undefined` if it does not expire, or the store does not tell. */
  readonly timeLeft?: number | undefined;
  /**
   * Whether another attempt has to come before the messages behind it, as in a FIFO queue: it
   * is then released with a delay, and no copy takes its place. @default {false}
   */
  readonly keepsPlace?: boolean | undefined;
  /**
   * Whether one that keeps its place can be released with other headers, as a copy would
   * have. Else the store counts how often it has come, and says so in its header
   * `x-attempts`. @default {false}
   */
  readonly takesHeaders?: boolean | undefined;
  /** Its time to live is over: dead-letter it, do not deliver it (noticed when somebody looks). */
  readonly expired: boolean;
}
