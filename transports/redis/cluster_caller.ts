import type { CallOptions } from "../../model/call_options.ts";
import type { CloseReason } from "../transport.ts";
import type { Arrivals } from "./arrivals.ts";
import type { Caller, RedisClient, RunOptions, Script } from "./client.ts";
import type { Sockets } from "./connect.ts";
import type { Push } from "./push_client.ts";
import type { RedisArgument, RedisReply } from "./reply.ts";

/** What calls the nodes of a cluster. */
export interface Router extends
  Pick<
    Caller,
    | "closed"
    | "destroy"
    | "listen"
    | "native"
    | typeof Symbol.asyncDispose
  > {
  readonly shared: string;
  readonly rings: boolean;
  /** Calls the node that has a key, once where the call cannot be repeated. */
  route<T>(
    key: string,
    action: string,
    options: CallOptions | undefined,
    call: (node: Sockets) => Promise<T>,
    isOnce?: boolean,
  ): Promise<T>;
}

/** Commands that any node can do. */
const KEYLESS = /^(?:PING|SCAN|INFO|TIME|CLIENT|WAIT|P?(?:UN)?SUBSCRIBE)$/;

/** One of the two sockets to each node, as one client. */
export class ClusterCaller implements Caller {
  readonly #cluster: Router;
  readonly #socket: keyof Sockets;

  /** Makes one. */
  constructor(cluster: Router, socket: keyof Sockets) {
    this.#cluster = cluster;
    this.#socket = socket;
  }

  /** As of a client. */
  get closed(): Promise<CloseReason> {
    return this.#cluster.closed;
  }

  /** Whether all nodes tell of changes. */
  get watching(): boolean {
    return this.#cluster.rings;
  }

  /** There are several. */
  get peer(): undefined {
    return undefined;
  }

  /** The client of one node. */
  get native(): RedisClient["native"] {
    return this.#cluster.native;
  }

  /** Sends a command to the node that has its key. */
  send(
    action: string,
    command: readonly [string, ...RedisArgument[]],
    options?: CallOptions,
  ): Promise<RedisReply> {
    return this.#route(
      this.#keyOf(command),
      action,
      options,
      (client) => client.send(action, command, options),
    );
  }

  /** Sends a command that the node may refuse. */
  ask(
    action: string,
    command: readonly [string, ...RedisArgument[]],
    options?: CallOptions,
  ): Promise<RedisReply | undefined> {
    return this.#route(
      this.#keyOf(command),
      action,
      options,
      (client) => client.ask(action, command, options),
    );
  }

  /** Whose texts are sent once: where the node refuses them, the publisher has them still. */
  push(
    action: string,
    command: Push,
    options?: CallOptions,
  ): Promise<RedisReply> {
    return this.#cluster.route(
      command.list,
      action,
      options,
      ({ commands }) => commands.push(action, command, options),
      true,
    );
  }

  /** Runs a script in the slot of its place. */
  run(
    action: string,
    script: Script,
    watched: readonly string[],
    args: readonly RedisArgument[],
    options?: RunOptions,
  ): Promise<RedisReply> {
    const place = options?.place ?? this.#cluster.shared;
    const all = { ...options, place };
    return this.#route(
      place,
      action,
      options,
      (client) => client.run(action, script, watched, args, all),
    );
  }

  /** Waits for the replicas of the node that has a key. */
  confirm(
    action: string,
    replicas: number,
    key: string,
    options?: CallOptions,
  ): Promise<void> {
    return this.#route(
      key,
      action,
      options,
      (client) => client.confirm(action, replicas, key, options),
    );
  }

  /** Says whether any of some keys is there. */
  watch(action: string, keys: readonly string[]): Promise<boolean> {
    return this.#route(
      keys[0] ?? "",
      action,
      undefined,
      (client) => client.watch(action, keys),
    );
  }

  /** Sets the handlers of what any node says. */
  listen(arrivals: Arrivals): void {
    this.#cluster.listen(arrivals);
  }

  /** Ends all. */
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
    call: (client: RedisClient) => Promise<T>,
  ): Promise<T> {
    const which = this.#socket;
    return this.#cluster.route(
      key,
      action,
      options,
      (node) => call(node[which]),
    );
  }

  #keyOf([name, key]: readonly [string, ...RedisArgument[]]): string {
    return KEYLESS.test(name) || typeof key !== "string"
      ? this.#cluster.shared
      : key;
  }
}
