import type { Limits } from "../../async/limits.ts";
import type { Clock } from "../../async/clock.ts";
import { backoff } from "../../async/backoff.ts";
import type { TransportConnection } from "../../transports/transport.ts";
import { RECONNECT_DELAYS } from "./backoff_options.ts";
import type { ReconnectOptions } from "./connection_options.ts";
import type { ConnectionEvent } from "./connection_state.ts";
import { type Declarations, type Entity, isHeld } from "./declarations.ts";
import { declareMany, type Undeclared } from "./declare_many.ts";
import { sleep } from "./retry.ts";
import type { TopologyChannel } from "./topology_channel.ts";

/** The services that {@linkcode LaterDeclares} has from its session. */
export interface LaterDeclaresHost {
  readonly declarations: Declarations;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly random: () => number;
  readonly reconnectPolicy: ReconnectOptions | false;
  emit(event: ConnectionEvent): void;
}

/** A connection, as far as it is needed to declare on it. */
export interface DeclaringLink {
  readonly connection: TransportConnection;
  readonly endpoint: { readonly operationTimeout: number };
  readonly topology: TopologyChannel;
}

/**
 * Declares the session's entities again on a new connection; an entity that is refused
 * there, or is not answered for in time, is tried again later, as long as the
 * connection lasts: the node of a queue may come back.
 */
export class LaterDeclares {
  readonly #host: LaterDeclaresHost;
  #stop = new AbortController();

  /** Makes one that has nothing to do. */
  constructor(host: LaterDeclaresHost) {
    this.#host = host;
  }

  /** Declares everything, and resolves when each has been tried. */
  async declareAll(link: DeclaringLink, signal?: AbortSignal): Promise<void> {
    this.stop();
    const undeclared = await this.#declare(
      link,
      this.#host.declarations.all,
      signal,
    );
    signal?.throwIfAborted();
    this.#tell(undeclared, new Map());
    if (undeclared.length === 0 || this.#host.reconnectPolicy === false) return;
    this.#stop = new AbortController();
    void this.#goOn(link, undeclared, this.#stop.signal);
  }

  /** Tries nothing more. */
  stop(): void {
    this.#stop.abort();
  }

  async #goOn(
    link: DeclaringLink,
    first: readonly Undeclared[],
    signal: AbortSignal,
  ): Promise<void> {
    const { declarations, clock, limits, random, reconnectPolicy: policy } =
      this.#host;
    if (policy === false) return;
    const { maxRefusals = Infinity } = policy;
    let undeclared = first;
    link.connection.closed.then(() => this.stop());
    try {
      for (let failures = 0; failures < maxRefusals; failures++) {
        const delay = backoff(failures, policy, RECONNECT_DELAYS, random());
        await sleep(delay, { signal }, clock, limits);
        const told = new Map(
          undeclared.map(({ entity, error }) => [entity, error.message]),
        );
        const left = undeclared.map(({ entity }) => entity).filter((each) =>
          declarations.isWanted(each)
        );
        undeclared = await this.#declare(link, left, signal, 1);
        this.#tell(undeclared, told);
        if (undeclared.length === 0) return;
      }
    } catch {
      // The connection is lost: on the next all is declared again.
    }
  }

  async #declare(
    { topology, endpoint }: DeclaringLink,
    entities: readonly Entity[],
    signal: AbortSignal | undefined,
    width?: number,
  ): Promise<readonly Undeclared[]> {
    const { declarations, clock } = this.#host;
    return await declareMany(entities, {
      declarations,
      width,
      run: (action) =>
        topology.run(
          { signal, deadline: Infinity },
          action,
          { holds: entities.some(isHeld) },
        ),
      call: () => ({
        signal,
        deadline: clock.now() + endpoint.operationTimeout,
      }),
    });
  }

  #tell(
    undeclared: readonly Undeclared[],
    told: ReadonlyMap<Entity, string>,
  ): void {
    for (const { entity, error } of undeclared) {
      this.#host.declarations.markFailing(entity);
      if (told.get(entity) === error.message) continue;
      this.#host.emit({ type: "declare-failed", entity, error });
    }
  }
}
