import type { Clock } from "../../../async/clock.ts";
import { Pauses } from "../../../async/pause.ts";
import type { CallOptions } from "../../../model/call_options.ts";
import { ConnectionError } from "../../../model/errors.ts";
import { connectionClosed } from "../../connection_errors.ts";
import type { CloseReason } from "../../transport.ts";
import type { Arrivals } from "../socket/arrivals.ts";
import type { Caller, RedisClient } from "../client.ts";
import type { ClusterDialer, Sockets } from "../connect.ts";
import { PassingError } from "../errors.ts";
import type { RedisArgument, RedisReply } from "../reply.ts";
import { type NodeAddress, readSlots, slotOf, SLOTS } from "./slots.ts";

/** How long to wait until a call that a node refused is made again, at first and at the most, ms. */
const FIRST_PAUSE = 10;
const LAST_PAUSE = 200;

/** A node of the cluster that has slots. */
interface Node extends Sockets {
  readonly address: NodeAddress;
}

/** What all calls of a cluster share. */
export interface ClusterSettings {
  /** What every call that names no key goes by. */
  readonly shared: string;
  readonly clock: Clock;
  /** How long a call may take that says nothing of it, ms. */
  readonly timeout: number;
}

/**
 * The primaries of a cluster, two sockets each. A call goes to the one that has its slot, and
 * goes again where a node says that another has it, or that it has not all of it now: it did
 * nothing then. A node that is lost while it has slots ends all: who connects anew is told which
 * node has them by then.
 */
export class Cluster implements AsyncDisposable {
  /** Settles once, when a node that has slots was lost, or all was closed. Never rejects. */
  readonly closed: Promise<CloseReason>;
  /** Calls by the sockets for commands. */
  readonly commands: Caller;
  /** Calls by those that are told what the servers say unasked. */
  readonly listener: Caller;
  /** What every call that names no key goes by. */
  readonly shared: string;
  readonly #dialer: ClusterDialer;
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #nodes = new Map<string, Node>();
  readonly #settle: (reason: CloseReason) => void;
  readonly #pauses: Pauses;
  #slots: string[] = [];
  #reason: CloseReason | undefined;
  #refreshing: Promise<void> | undefined;
  #arrivals: Arrivals | undefined;

  private constructor(dialer: ClusterDialer, settings: ClusterSettings) {
    const { promise, resolve } = Promise.withResolvers<CloseReason>();
    this.closed = promise;
    this.#settle = resolve;
    this.#dialer = dialer;
    this.#clock = settings.clock;
    this.#pauses = new Pauses(settings.clock);
    this.#timeout = settings.timeout;
    this.shared = settings.shared;
    this.commands = new ClusterCaller(this, "commands");
    this.listener = new ClusterCaller(this, "listener");
  }

  /**
   * Finds the primaries by any node, and connects to all.
   *
   * @throws {ConnectionError} If one of them cannot be reached.
   */
  static async open(
    dialer: ClusterDialer,
    settings: ClusterSettings,
    limits: CallOptions,
  ): Promise<Cluster> {
    const cluster = new Cluster(dialer, settings);
    try {
      await cluster.#take(await dialer.seek(limits), limits);
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Whether all nodes tell of changes. */
  get rings(): boolean {
    return [...this.#nodes.values()].every(({ rings }) => rings);
  }

  /** The number of a socket of the node that has what is no queue's. */
  get socket(): number | undefined {
    return this.#nodeOf(this.shared)?.socket;
  }

  /** Calls the node that has a key, once where the call cannot be repeated. */
  route<T>(
    key: string,
    action: string,
    options: CallOptions | undefined,
    call: (node: Sockets) => Promise<T>,
    isOnce = false,
  ): Promise<T> {
    if (this.#reason !== undefined) return Promise.reject(this.#over(action));
    const node = this.#nodeOf(key);
    const attempt = node === undefined
      ? Promise.reject(this.#unserved(action))
      : call(node);
    return attempt.catch((error: unknown) => {
      if (!(error instanceof PassingError)) throw error;
      if (!isOnce) return this.#again(key, error, options, call);
      this.#refresh();
      throw error;
    });
  }

  /** Hands on what any node says unasked. */
  listen(arrivals: Arrivals): void {
    this.#arrivals = arrivals;
    for (const { listener } of this.#nodes.values()) listener.listen(arrivals);
  }

  /** The client of the node that has what is no queue's. */
  get native(): RedisClient["native"] {
    const node = this.#nodeOf(this.shared);
    if (node === undefined) throw this.#unserved("use the client");
    return node.commands.native;
  }

  /** Ends it, as if it had been lost. */
  destroy(error: Error): void {
    const lost = error instanceof ConnectionError
      ? error
      : connectionClosed("go on");
    this.#end({ type: "lost", error: lost });
    for (const { commands, listener } of this.#nodes.values()) {
      commands.destroy(error);
      listener.destroy(error);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end({ type: "closed" });
    await Promise.all([...this.#nodes.values()].flatMap((node) => [
      node.commands[Symbol.asyncDispose](),
      node.listener[Symbol.asyncDispose](),
    ]));
  }

  /** Until the node that has the slot by then has all of it. */
  async #again<T>(
    key: string,
    first: PassingError,
    options: CallOptions | undefined,
    call: (node: Sockets) => Promise<T>,
  ): Promise<T> {
    let error = first;
    const deadline = Math.min(
      options?.deadline ?? Infinity,
      this.#clock.now() + this.#timeout,
    );
    for (let pause = FIRST_PAUSE;; pause = Math.min(2 * pause, LAST_PAUSE)) {
      await this.#refresh();
      // Where another node has it by now, nothing is to be waited for.
      if (pause > FIRST_PAUSE || !/^MOVED/.test(String(error.cause))) {
        await this.#pauses.wait(pause);
      }
      if (this.#clock.now() >= deadline) throw error;
      if (this.#reason !== undefined) throw this.#over("go on");
      const node = this.#nodeOf(key);
      try {
        if (node !== undefined) return await call(node);
      } catch (again) {
        if (!(again instanceof PassingError)) throw again;
        error = again;
      }
    }
  }

  /** Asks a node which has which slots, once for all calls at the same time. */
  #refresh(): Promise<void> {
    return this.#refreshing ??= this.#ask().catch(() => {
      // The next call that is refused asks again.
    }).finally(() => this.#refreshing = undefined);
  }

  async #ask(): Promise<void> {
    const [node] = this.#nodes.values();
    if (node === undefined) return;
    const limits = { deadline: this.#clock.now() + this.#timeout };
    const { hostname } = node.address;
    await this.#take(await readSlots(node.commands, hostname, limits), limits);
  }

  /** Takes over who has which slots, and connects to whom it does not know. */
  async #take(
    ranges: Awaited<ReturnType<typeof readSlots>>,
    limits: CallOptions,
  ): Promise<void> {
    const slots: string[] = Array(SLOTS).fill("");
    const found = new Map<string, NodeAddress>();
    for (const { first, last, node } of ranges) {
      const name = `${node.hostname}:${node.port}`;
      found.set(name, node);
      slots.fill(name, first, last + 1);
    }
    await Promise.all(
      [...found].map(([name, address]) =>
        this.#nodes.has(name) ? undefined : this.#open(name, address, limits)
      ),
    );
    const hasMoved = this.#slots.length > 0 &&
      slots.some((name, slot) => name !== this.#slots[slot]);
    this.#slots = slots;
    // Of what has moved nobody tells us yet.
    if (hasMoved) this.#arrivals?.changed(undefined);
  }

  async #open(
    name: string,
    address: NodeAddress,
    limits: CallOptions,
  ): Promise<void> {
    const sockets = await this.#dialer.open(address, limits);
    const { commands, listener } = sockets;
    if (this.#arrivals !== undefined) listener.listen(this.#arrivals);
    this.#nodes.set(name, { ...sockets, address });
    Promise.race([commands.closed, listener.closed]).then((reason) => {
      this.#nodes.delete(name);
      const hasSlots = this.#slots.includes(name);
      for (const client of [commands, listener]) {
        if (reason.type === "lost") client.destroy(reason.error);
      }
      if (hasSlots && reason.type === "lost") this.destroy(reason.error);
    });
  }

  #nodeOf(key: string): Node | undefined {
    return this.#nodes.get(this.#slots[slotOf(key)] ?? "");
  }

  #unserved(action: string): PassingError {
    return new PassingError(
      `Cannot ${action}: no node of the cluster has its slot`,
      { code: "connection-lost", outcome: "not-sent" },
    );
  }

  #over(action: string): Error {
    return this.#reason?.type === "lost"
      ? this.#reason.error
      : connectionClosed(action);
  }

  #end(reason: CloseReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#pauses.end();
    this.#settle(reason);
  }
}

/** Commands that any node can do. */
const KEYLESS = /^(?:PING|SCAN|INFO|TIME|CLIENT|WAIT|P?(?:UN)?SUBSCRIBE)$/;

/** One of the two sockets to each node, as one client. */
class ClusterCaller implements Caller {
  readonly #cluster: Cluster;
  readonly #which: "commands" | "listener";

  constructor(cluster: Cluster, which: "commands" | "listener") {
    this.#cluster = cluster;
    this.#which = which;
  }

  get closed(): Promise<CloseReason> {
    return this.#cluster.closed;
  }

  get watching(): boolean {
    return this.#cluster.rings;
  }

  /** There are several. */
  get peer(): undefined {
    return undefined;
  }

  get native(): RedisClient["native"] {
    return this.#cluster.native;
  }

  send(...call: Parameters<Caller["send"]>): Promise<RedisReply> {
    const [action, command, options] = call;
    const key = this.#keyOf(command);
    const send = (node: RedisClient) => node.send(...call);
    return this.#route(key, action, options, send, options?.isOnce);
  }

  ask(...call: Parameters<Caller["ask"]>): ReturnType<Caller["ask"]> {
    const [action, command, options] = call;
    const key = this.#keyOf(command);
    return this.#route(key, action, options, (node) => node.ask(...call));
  }

  /** Whose texts are sent once: where the node refuses them, the publisher has them still. */
  push(...call: Parameters<Caller["push"]>): Promise<RedisReply> {
    const [action, { list }, options] = call;
    const send = (node: RedisClient) => node.push(...call);
    return this.#route(list, action, options, send, true);
  }

  /** In the slot of its place. */
  run(...call: Parameters<Caller["run"]>): Promise<RedisReply> {
    const [action, script, watched, args, options] = call;
    const place = options?.place ?? this.#cluster.shared;
    const all = { ...options, place };
    const run = (node: RedisClient) =>
      node.run(action, script, watched, args, all);
    return this.#route(place, action, options, run, options?.isOnce);
  }

  confirm(...call: Parameters<Caller["confirm"]>): Promise<void> {
    const [action, , key, options] = call;
    return this.#route(key, action, options, (node) => node.confirm(...call));
  }

  watch(...call: Parameters<Caller["watch"]>): Promise<boolean> {
    const [action, [key = ""]] = call;
    return this.#route(key, action, undefined, (node) => node.watch(...call));
  }

  listen(arrivals: Arrivals): void {
    this.#cluster.listen(arrivals);
  }

  destroy(error: Error): void {
    this.#cluster.destroy(error);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#cluster[Symbol.asyncDispose]();
  }

  #route<T>(
    key: string,
    action: string,
    options: CallOptions | undefined,
    call: (node: RedisClient) => Promise<T>,
    isOnce?: boolean,
  ): Promise<T> {
    const each = (node: Sockets) => call(node[this.#which]);
    return this.#cluster.route(key, action, options, each, isOnce);
  }

  #keyOf([name, key]: readonly [string, ...RedisArgument[]]): string {
    return KEYLESS.test(name) || typeof key !== "string"
      ? this.#cluster.shared
      : key;
  }
}
