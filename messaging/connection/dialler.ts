import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { ReconnectOptions } from "./connection_options.ts";
import type { ConnectionEvent } from "./connection_state.ts";
import type { Declarations } from "./declarations.ts";
import { dialOnce } from "./dialling.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";
import type { Failover } from "./failover.ts";
import { dialFirst, mayBeAsked } from "./first_dial.ts";
import { sleep } from "./retry.ts";
import { asConnectionError, closedError, mayPass } from "./session_errors.ts";
import { type Link, TopologyChannel } from "./topology_channel.ts";
import type { UnhandledListener } from "./unhandled.ts";

/** The parts and settings that a session is made of. */
export interface SessionSettings {
  readonly failover: Failover;
  readonly reconnect: ReconnectOptions | false;
  readonly clock: Clock;
  readonly random: () => number;
  readonly name: string | undefined;
  /** Called with what went wrong where nobody listens. */
  readonly onUnhandled: UnhandledListener | undefined;
}

/** The services that a {@linkcode Dialler} has from its session. */
export interface DiallerHost {
  readonly clock: Clock;
  readonly limits: Limits;
  readonly owner: string;
  readonly declarations: Declarations;
  emit(event: ConnectionEvent): void;
}

/** The events of a connection, for its session. */
export interface DialSteps {
  /** An endpoint is dialled; so many attempts in a row failed before. */
  begins(url: string, failures: number): void;
  /** It has failed, and the server is probed for its protocol. */
  failed(error: Error): void;
  /** There is a connection: the steps before it is used. */
  opened(link: Link, signal: AbortSignal): Promise<void>;
}

/** Makes the connections of a session: in one attempt it dials each endpoint once. */
export class Dialler {
  readonly #settings: SessionSettings;
  readonly #host: DiallerHost;
  readonly #steps: DialSteps;
  /** Whether a server that failed was probed for its protocol. */
  #asked = false;

  /** Makes one that has dialled nothing yet. */
  constructor(settings: SessionSettings, host: DiallerHost, steps: DialSteps) {
    this.#settings = settings;
    this.#host = host;
    this.#steps = steps;
  }

  /** One attempt: each endpoint once, from the present one on. */
  async tryAll(failures: number, signal: AbortSignal): Promise<Link> {
    const { failover } = this.#settings;
    const { clock, limits } = this.#host;
    let worst: unknown;
    for (let i = 0; i < failover.count; i++) {
      signal.throwIfAborted();
      const endpoint = failover.current;
      if (failover.rest(clock.now()) > 0) {
        failover.advance();
        continue;
      }
      this.#steps.begins(formatEndpoint(endpoint), failures);
      try {
        const link = await this.#firstOrNot(endpoint, signal);
        failover.succeed();
        return link;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        failover.fail(clock.now());
        // As long as one of them may come back, it is worth another attempt.
        if (worst === undefined || mayPass(error)) worst = error;
      }
    }
    if (worst === undefined) {
      await sleep(failover.rest(clock.now()), { signal }, clock, limits);
      return await this.tryAll(failures, signal);
    }
    throw mayPass(worst) ? asConnectionError(worst) : worst;
  }

  /** The first failure of one that never worked may be that of a wrong URL. */
  async #firstOrNot(endpoint: Endpoint, signal: AbortSignal): Promise<Link> {
    const dial = (signal: AbortSignal) => this.#dial(endpoint, signal);
    if (this.#asked || !mayBeAsked(endpoint)) return await dial(signal);
    this.#asked = true;
    return await dialFirst(
      endpoint,
      this.#host.clock,
      signal,
      dial,
      (error) => {
        if (error instanceof Error) this.#steps.failed(error);
      },
    );
  }

  async #dial(endpoint: Endpoint, signal: AbortSignal): Promise<Link> {
    const { failover, name } = this.#settings;
    const { clock, limits, owner, declarations } = this.#host;
    const transport = await limits.wait(
      endpoint.loader.load(),
      { signal },
      closedError, // there is no deadline
    );
    // Each gets its share: behind a silent host there may be one that answers.
    const deadline = clock.now() + endpoint.connectTimeout / failover.count;
    const connection = await dialOnce(endpoint, transport, limits, {
      name,
      owner,
      hasOthers: failover.count > 1,
      clock,
      signal,
      deadline,
      onEvent: (event) => this.#host.emit(event),
    });
    const topology = new TopologyChannel(connection, limits);
    const link: Link = { connection, endpoint, topology };
    try {
      signal.throwIfAborted();
      declarations.reset();
      await this.#steps.opened(link, signal);
      return link;
    } catch (error) {
      await connection[Symbol.asyncDispose]();
      throw error;
    }
  }
}
