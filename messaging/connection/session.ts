import type { Clock } from "../../async/clock.ts";
import { Limits } from "../../async/limits.ts";
import type { Mailbox } from "../../async/mailbox.ts";
import type { QueueStatus } from "../../model/queue.ts";
import type { Capability, CloseReason } from "../../transports/transport.ts";
import { Blocking } from "./blocking.ts";
import { FlapBackoff } from "./flap_backoff.ts";
import type { ReconnectOptions } from "./connection_options.ts";
import type { ConnectionEvent, ConnectionState } from "./connection_state.ts";
import { Declarations, type Entity, isHeld } from "./declarations.ts";
import { Dialler, type SessionSettings } from "./dialler.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";
import { declareMany, declarePieces } from "./declare_many.ts";
import { Queue } from "../entities/queue.ts";
import type { KnownOptions } from "../known_options.ts";
import {
  type Call,
  limitsOf,
  type OperationOptions,
} from "../operation_options.ts";
import { LaterDeclares } from "./later_declares.ts";
import { LoopWatch } from "./loop_watch.ts";
import { ReplyCounts } from "./reply_counts.ts";
import { retry, type RetryRules, sleep } from "./retry.ts";
import {
  closedByItself,
  closedError,
  lateError,
  mayPass,
  Refusals,
} from "./session_errors.ts";
import type { Link } from "./topology_channel.ts";
import { Unhandled } from "./unhandled.ts";
import { Uses } from "../middleware/uses.ts";
import { Watchers } from "./watchers.ts";

/** How long a destroyed connection may take to end, ms. */
const DESTROY_GRACE = 100;

/**
 * The session outlives a transport's connection: it connects with the first need,
 * reconnects when the connection is lost, declares again what was declared, and notifies
 * its watchers. It connects one at a time, for all callers that wait.
 */
export class Session {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly declarations: Declarations = new Declarations();
  /** The same over all connections: brokers give back at once what an earlier one held. */
  readonly owner: string = crypto.randomUUID();
  readonly reconnectPolicy: ReconnectOptions | false;
  readonly random: () => number;
  readonly #settings: SessionSettings;
  readonly #background = new Set<Promise<void>>();
  readonly watchers: Watchers = new Watchers();
  readonly blocking: Blocking = new Blocking();
  readonly loopWatch: LoopWatch;
  readonly replies: ReplyCounts = new ReplyCounts();
  /** The middlewares of the connection. */
  readonly uses: Uses = new Uses((event) => this.emit(event));
  /** The consumer whose handler is being called, until that returns. */
  handling: object | undefined;
  #state: ConnectionState = { type: "idle" };
  #link: Link | undefined;
  #capabilities: ReadonlySet<Capability> | undefined;
  #opening: Promise<Link> | undefined;
  #stopOpening = new AbortController();
  /** How many calls wait for the connection. */
  #waiting = 0;
  /** Whether it is to be kept open even while nobody waits: it was open before. */
  #kept = false;
  #lastError: Error | undefined;
  #closing: Promise<void> | undefined;
  /** When it connected last, by the calendar, ms; kept over a loss. */
  #connectedAt: number | undefined;
  readonly #flapping = new FlapBackoff();
  readonly #unhandled: Unhandled;
  readonly #declaring: LaterDeclares;
  readonly #dialler: Dialler;

  /** Makes a session that does nothing yet. */
  constructor(settings: SessionSettings) {
    this.#settings = settings;
    this.clock = settings.clock;
    this.limits = new Limits(settings.clock);
    this.reconnectPolicy = settings.reconnect;
    this.random = settings.random;
    this.#unhandled = new Unhandled(settings.clock, settings.onUnhandled);
    this.loopWatch = new LoopWatch(this);
    this.#declaring = new LaterDeclares(this);
    this.#dialler = new Dialler(settings, this, {
      begins: (url, attempt) =>
        this.#setState({ type: "connecting", url, attempt }),
      failed: (error) => this.#lastError = error,
      opened: (link, signal) => this.#declaring.declareAll(link, signal),
    });
  }

  /** The state of the session. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Whether it is closed, or is being closed. */
  get ended(): boolean {
    return this.#closing !== undefined;
  }

  /** The open connection, if there is one now. */
  get open(): Link | undefined {
    return this.#link;
  }

  /** When it connected last, by the calendar, ms; it may have lost that connection since. */
  get connectedAt(): number | undefined {
    return this.#connectedAt;
  }

  /** Whether the broker tells that a queue is not there; until it is known, that it does. */
  get knowsQueues(): boolean {
    return this.#capabilities?.has("known-queues") ?? true;
  }

  /** The capabilities of the broker, as far as they are known. */
  get capabilities(): ReadonlySet<Capability> {
    return this.#capabilities ?? new Set();
  }

  /** The endpoint in use, or to be tried next. */
  get endpoint(): Endpoint {
    return this.#link?.endpoint ?? this.#settings.failover.current;
  }

  /**
   * Waits for an open connection: for the first one no longer than `connectTimeout`, once its
   * client is imported, for a later one as long as the call may.
   *
   * @param call The limits of the call.
   * @param hasNoTime Whether the caller gave it no deadline, and means to wait for `connectTimeout`.
   * @throws {ConnectionError} If there is no first one in time, and it is known why.
   * @throws {TimeoutError} If there is none by the deadline; its cause says why.
   * @throws {ClosedError} If the session is closed.
   */
  async link(call: Call, hasNoTime = false): Promise<Link> {
    if (this.#closing !== undefined) throw closedError();
    if (this.#link !== undefined) return this.#link;
    const isNew = this.#capabilities === undefined;
    // A call without a deadline, as a consumer's, waits for the first connection without
    // one too.
    const isBounded = hasNoTime || (isNew && call.deadline !== Infinity);
    const opening = this.#opening ?? this.#beginOpening();
    const { loader, connectTimeout } = this.endpoint;
    this.#waiting++;
    try {
      let { deadline } = call;
      if (isBounded) {
        await loader.wait(opening, call, this.limits, this.clock);
        deadline = Math.min(deadline, this.clock.now() + connectTimeout);
      }
      return await this.limits.wait(
        opening,
        { signal: call.signal, deadline },
        () =>
          loader.obstacle ??
            lateError(
              formatEndpoint(this.endpoint),
              this.#lastError,
              isNew && isBounded,
              deadline === call.deadline,
            ),
      );
    } finally {
      this.#waiting--;
      // Nobody wants it any more: it must not go on behind everyone's back.
      if (this.#waiting === 0 && !this.#kept) this.#giveUpOpening();
    }
  }

  /**
   * Declares entities, many at once: the exchanges before the queues.
   *
   * @param entities The entities.
   * @param call Makes the limits: called anew for each entity.
   * @returns The status of each queue among them, in order.
   * @throws The error of the first that failed; others may be there by then.
   */
  async declare(
    entities: readonly Entity[],
    call: () => Call,
  ): Promise<readonly QueueStatus[]> {
    const statuses = new Map<Entity, QueueStatus>();
    for (const entity of entities) this.declarations.recall(entity);
    for (const some of declarePieces(entities, this.declarations)) {
      await this.#declarePiece(some, statuses, call);
    }
    return entities.flatMap((entity) => statuses.get(entity) ?? []);
  }

  async #declarePiece(
    entities: readonly Entity[],
    statuses: Map<Entity, QueueStatus>,
    call: () => Call,
  ): Promise<void> {
    const { declarations } = this;
    const limits = call();
    // Declaring twice is declaring once: what a lost connection left open is done again.
    await this.retry(limits, async () => {
      const { topology } = await this.link(limits);
      const left = entities.filter((each) => !statuses.has(each));
      await declareMany(left, {
        declarations,
        stops: true,
        run: (action) =>
          topology.run(limits, action, {
            holds: left.some(isHeld),
            queues: left.every((each) => each instanceof Queue)
              ? left
              : undefined,
          }),
        call,
        onQueue: (queue, status) => statuses.set(queue, status),
      });
    });
    for (const each of entities) {
      if (!(each instanceof Queue)) declarations.noteDeclared(each);
    }
  }

  /** Declares again, on the present connection, all that was declared. */
  async declareAll(call: Call): Promise<void> {
    const link = await this.link(call);
    this.declarations.doubt();
    await this.#declaring.declareAll(link);
  }

  /**
   * Says what a call is limited by.
   *
   * @param options The caller's options; without a timeout it is the connection's.
   * @param known The options that it takes.
   */
  call(options?: OperationOptions, known?: KnownOptions): Call {
    return limitsOf(options, this.clock, this.endpoint.operationTimeout, known);
  }

  /** Tries an action again after a loss, by the connection's policy, as long as the call may. */
  retry<T>(
    call: Call,
    attempt: (failures: number) => Promise<T>,
    options?: RetryRules,
  ): Promise<T> {
    return retry(this, call, attempt, options);
  }

  /** Hears of everything that happens from now on. */
  watch(): Mailbox<ConnectionEvent> {
    return this.watchers.add(this.#closing !== undefined);
  }

  /** Emits an event to the watchers; without a watcher, and if no caller was told of it, to the listener for unhandled events. */
  emit(event: ConnectionEvent, heard = false): void {
    this.blocking.note(event);
    this.uses.event?.(event);
    if (!this.watchers.tell(event) && !heard) this.#unhandled.tell(event);
  }

  /** Why there is no connection now, as far as it is known. */
  get problem(): Error | undefined {
    return this.#link === undefined ? this.#lastError : undefined;
  }

  /** Why somebody still waits for the connection: no attempt has succeeded, or none has ended yet. */
  get obstacle(): Error | undefined {
    if (this.#link !== undefined || this.#opening === undefined) {
      return this.problem;
    }
    return this.#lastError ?? this.endpoint.loader.obstacle ??
      lateError(formatEndpoint(this.endpoint), undefined, false, true);
  }

  /** Sees to it that what ends in the background has ended before the session has. */
  track(work: Promise<unknown>): void {
    const tracked = work.then(() => {}, () => {}).finally(() => {
      this.#background.delete(tracked);
    });
    this.#background.add(tracked);
  }

  /** Closes it for good; by the deadline without the broker's answer. */
  close(deadline: number): Promise<void> {
    return this.#closing ??= this.#close(deadline);
  }

  async #close(deadline: number): Promise<void> {
    const link = this.#link;
    const opening = this.#opening;
    this.#link = undefined;
    this.#declaring.stop();
    this.#stopOpening.abort(closedError());
    const ending = (async () => {
      await link?.connection[Symbol.asyncDispose]();
      await opening?.catch(() => {});
      await Promise.all(this.#background);
    })();
    const ended = (deadline: number) =>
      this.limits.wait(ending, { deadline }, closedError);
    await ended(deadline).catch(() => {
      link?.connection.destroy?.();
      // It takes a moment: the caller that closes the session is to find nothing left.
      return ended(this.clock.now() + DESTROY_GRACE).catch(() => {});
    });
    this.limits.end(closedError);
    this.#setState({ type: "closed" });
    this.#unhandled.flush();
    this.watchers.end();
  }

  #giveUpOpening(): void {
    const opening = this.#opening;
    if (opening === undefined) return;
    this.#opening = undefined; // a later caller begins anew
    this.#stopOpening.abort();
    this.track(opening);
  }

  #beginOpening(): Promise<Link> {
    this.#stopOpening = new AbortController();
    const { signal } = this.#stopOpening;
    const opening = this.#open(signal).finally(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
    opening.catch((error: Error) => {
      if (!signal.aborted) this.#lastError = error;
      if (this.#opening !== undefined || this.#link !== undefined) return;
      this.#kept = false;
      if (this.#closing === undefined) this.#setState({ type: "idle" });
    });
    return this.#opening = opening;
  }

  async #open(signal: AbortSignal): Promise<Link> {
    const delay = this.#flapping.delay(this.reconnectPolicy, this.random());
    const lost = this.#lastError;
    if (delay > 0 && lost !== undefined) {
      const attempt = this.#flapping.shortLived;
      this.#setState({ type: "waiting", attempt, delay, error: lost });
      await sleep(delay, { signal }, this.clock, this.limits);
    }
    const refusals = new Refusals(this.reconnectPolicy);
    const call = { signal, deadline: Infinity };
    const link = await this.retry(
      call,
      (failures) => this.#dialler.tryAll(failures, signal),
      {
        // An error that was final for the first connection may be transient for a later
        // one.
        retries: this.#capabilities === undefined
          ? mayPass
          : (error) => refusals.mayGoOn(error),
        onWait: (attempt, delay, error) => {
          this.#lastError = error;
          this.#setState({ type: "waiting", attempt, delay, error });
        },
      },
    );
    this.#kept = this.reconnectPolicy !== false;
    this.#lastError = undefined;
    this.#link = link;
    this.#capabilities = link.connection.capabilities;
    this.#setState({
      type: "open",
      url: formatEndpoint(link.endpoint),
      since: new Date(this.#connectedAt = this.clock.wall()),
    });
    this.#flapping.begin(this.clock.now());
    link.connection.closed.then((reason) => this.#onClosed(link, reason));
    return link;
  }

  #onClosed(link: Link, reason: CloseReason): void {
    if (this.#link !== link) return;
    this.#flapping.end(this.clock.now());
    this.#link = undefined;
    this.declarations.doubt(); // until all is declared again
    if (this.#closing !== undefined) return;
    const error = reason.type === "lost"
      ? this.loopWatch.explain(reason.error)
      : closedByItself(formatEndpoint(link.endpoint));
    this.#lastError = error;
    this.emit({ type: "lost", error });
    if (this.#kept) this.#beginOpening();
    else this.#setState({ type: "idle" });
  }

  #setState(state: ConnectionState): void {
    this.#state = state;
    this.emit({ type: "state", state });
  }
}
