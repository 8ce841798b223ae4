import type { CallOptions } from "../../model/call_options.ts";
import type {
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
} from "../store/store.ts";
import { wholeSeconds } from "./body.ts";
import { type Jobs, reservedIn, reserveNow } from "./jobs.ts";
import type { BeanstalkReservation } from "./reservation.ts";
import { join, Link, type LinkContext } from "./link.ts";
import type { Tubes } from "./tubes.ts";

/** The maximum number of messages that are asked for at once: with a larger prefetch the next are on their way while these are worked on. */
export const MAX_AT_ONCE = 100;

/** The maximum number of sockets that wait, or hold the message that they waited for. */
const MAX_WAITERS = 8;

/** Queues with less room than this are asked by themselves: they bound what the others give at once. */
const MUCH_ROOM = 8;

/** How often to look while all of those hold messages, ms. */
const LOOK_EVERY = 100;

/** How long to wait here, and not yet at the server, after waits there were cut short, ms. */
const LEAST_LINGER = 5;
const MAX_LINGER = 40;

/** The services that a reserver uses of its store. */
export interface ReserverHost {
  readonly context: LinkContext;
  readonly jobs: Jobs;
  readonly tubes: Tubes;
  /** Says whether a queue was deleted. */
  isMissing(queue: string): boolean;
  /** Expired messages that other calls found, for the next call that asks. */
  takeExpired(): readonly Reservation[];
  /** Somebody begins to wait, or nobody waits any more. */
  waits(waiting: boolean): void;
}

interface Active {
  /** Ends a wait early. */
  stop: (() => void) | undefined;
  /** Ends a wait for a free socket. */
  freed: (() => void) | undefined;
  woken: boolean;
}

interface Wanted {
  readonly tubes: ReadonlySet<string>;
  readonly queueOf: (tube: string) => string;
  readonly groups: readonly Group[];
  readonly options: ReserveOptions;
}

/** Tubes that are asked together. */
interface Group {
  readonly tubes: Set<string>;
  /** A job may come from any of the tubes: no more than each has room for. */
  limit: number;
}

/** A socket that takes what is there. */
interface Scanner {
  link: Promise<Link> | undefined;
  /** How many to ask for: twice what there was. */
  estimate: number;
}

/**
 * Takes messages for consumers. A reserve that waits holds up everything behind it on its
 * socket, and only the socket that reserved a job can settle it. So one socket, or two
 * where some queues have little room, takes what is there in batches and never waits;
 * when nothing is there, one that holds nothing waits for the next.
 */
export class Reserver {
  readonly #host: ReserverHost;
  readonly #waiters: Link[] = [];
  readonly #links = new Set<Link>();
  readonly #active = new Set<Active>();
  readonly #scanners: readonly Scanner[] = [
    { link: undefined, estimate: 4 },
    { link: undefined, estimate: 4 },
  ];
  /** Whether the last wait at the server ended in vain: nothing is there. */
  #quiet = false;
  /** How long to wait here before the next wait at the server, after one there was cut short. */
  #linger = 0;
  #wasCut = false;

  /** Makes one that has no socket yet. */
  constructor(host: ReserverHost) {
    this.#host = host;
  }

  /** Whether somebody waits. */
  get waiting(): boolean {
    return this.#active.size > 0;
  }

  /** All waiting calls look again. */
  wake(): void {
    for (const active of this.#active) {
      active.woken = true;
      active.stop?.();
    }
  }

  /** A socket holds nothing any more. */
  freed(): void {
    for (const active of this.#active) active.freed?.();
  }

  /** Its open sockets. */
  get links(): readonly Link[] {
    return [...this.#links];
  }

  /** Takes messages, and waits for the first. */
  async take(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const active: Active = {
      stop: undefined,
      freed: undefined,
      woken: false,
    };
    this.#active.add(active);
    this.#host.waits(true);
    try {
      return await this.#take(wants, options, active);
    } finally {
      this.#active.delete(active);
      if (this.#active.size === 0) this.#host.waits(false);
    }
  }

  async #take(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
    active: Active,
  ): Promise<Reserved> {
    const { context } = this.#host;
    const until = context.clock.now() + options.wait;
    const wanted = this.#want(wants, options);
    for (;;) {
      active.woken = false;
      options.signal?.throwIfAborted();
      const refusal = context.lifeline.refusal("take messages", undefined);
      if (refusal !== undefined) throw refusal;
      const found = this.#findOther(wants);
      if (found !== undefined) return found;
      if (!this.#quiet) {
        const jobs = await this.#scan(wanted);
        if (jobs.length > 0) return { reservations: jobs, missing: [] };
        // A wake-up that came meanwhile could not end a wait that had not begun.
        if (active.woken || options.signal?.aborted) continue;
      }
      const left = until - context.clock.now();
      if (left <= 0) return { reservations: [], missing: [] };
      const jobs = await this.#waitHere(left, options, active) ??
        await this.#waitThere(wanted, left, active);
      if (jobs !== undefined && jobs.length > 0) {
        return { reservations: jobs, missing: [] };
      }
    }
  }

  #want(wants: readonly ReserveWant[], options: ReserveOptions): Wanted {
    const byTube = new Map<string, string>();
    const much: Group = { tubes: new Set(), limit: MAX_AT_ONCE };
    const little: Group = { tubes: new Set(), limit: MUCH_ROOM };
    for (const { queue, limit } of wants) {
      const tube = this.#host.tubes.of(queue);
      byTube.set(tube, queue);
      const group = limit < MUCH_ROOM ? little : much;
      group.tubes.add(tube);
      group.limit = Math.min(group.limit, limit);
    }
    return {
      tubes: new Set(byTube.keys()),
      queueOf: (tube) => byTube.get(tube) ?? tube,
      groups: [much, little].filter(({ tubes }) => tubes.size > 0),
      options,
    };
  }

  #findOther(wants: readonly ReserveWant[]): Reserved | undefined {
    const missing = wants.map(({ queue }) => queue).filter((queue) =>
      this.#host.isMissing(queue)
    );
    const reservations = this.#host.takeExpired();
    return missing.length > 0 || reservations.length > 0
      ? { reservations, missing }
      : undefined;
  }

  /** Takes what is there now. */
  async #scan(
    { groups, queueOf, options }: Wanted,
  ): Promise<BeanstalkReservation[]> {
    const { deadline } = options;
    const [group, ...others] = groups;
    if (group !== undefined && others.length === 0) {
      return await this.#scanGroup(0, group, queueOf, deadline);
    }
    const jobs = await Promise.all(
      groups.map((each, i) => this.#scanGroup(i, each, queueOf, deadline)),
    );
    return jobs.flat();
  }

  async #scanGroup(
    index: number,
    { tubes, limit }: Group,
    queueOf: (tube: string) => string,
    deadline: number | undefined,
  ): Promise<BeanstalkReservation[]> {
    const scanner = this.#scanners[index];
    if (scanner === undefined) return [];
    scanner.link ??= this.#open(deadline).catch((error) => {
      scanner.link = undefined;
      throw error;
    });
    const link = await scanner.link;
    const count = Math.min(limit, scanner.estimate);
    const jobs = await reserveNow(this.#host.jobs, link, {
      tubes,
      queueOf,
      count,
      deadline,
    });
    scanner.estimate = jobs.length === count
      ? Math.min(MAX_AT_ONCE, Math.max(scanner.estimate, count * 2))
      : jobs.length + 1;
    return jobs;
  }

  /** A connection whose server takes no further socket is of no use. */
  async #open(deadline: number | undefined): Promise<Link> {
    const { context } = this.#host;
    try {
      const link = await Link.open(context, { deadline });
      this.#links.add(link);
      return link;
    } catch (error) {
      if (error instanceof Error) context.lifeline.lose(error);
      throw error;
    }
  }

  /**
   * Waits on this side, and resolves to nothing taken; or to `undefined` if it is time to
   * wait at the server. Cutting a wait short costs the server's wait its socket, and
   * this one nothing: so a consumer whose room comes and goes waits here first.
   */
  async #waitHere(
    left: number,
    { signal }: CallOptions,
    active: Active,
  ): Promise<readonly BeanstalkReservation[] | undefined> {
    const { clock, lifeline } = this.#host.context;
    const everyoneHolds = this.#waiters.length >= MAX_WAITERS &&
      !this.#waiters.some(isFree);
    if (!everyoneHolds && !this.#wasCut) return undefined;
    const pause = everyoneHolds ? LOOK_EVERY : this.#linger;
    this.#quiet = false;
    await new Promise<void>((resolve) => {
      const done = () => {
        active.stop = active.freed = undefined;
        stopTimer();
        unwatch();
        resolve();
      };
      active.stop = done;
      if (everyoneHolds) active.freed = done;
      const stopTimer = clock.timer(() => {
        this.#wasCut = false;
        done();
      }, Math.min(left, pause));
      const unwatch = lifeline.limits.watch({ signal }, done);
    });
    return [];
  }

  /** Waits at the server, on a socket that holds nothing. */
  async #waitThere(
    { tubes, queueOf, options }: Wanted,
    left: number,
    active: Active,
  ): Promise<BeanstalkReservation[] | undefined> {
    const { deadline, signal } = options;
    const { context, jobs } = this.#host;
    const link = await this.#waitLink(deadline);
    if (active.woken || signal?.aborted || context.lifeline.reason) {
      return undefined;
    }
    const seconds = wholeSeconds(left);
    let stopped: Promise<void> | undefined;
    const stop = () =>
      stopped ??= link.close(context.clock.now() + context.operationTimeout);
    const unwatch = context.lifeline.limits.watch(
      { signal },
      () => void stop(),
    );
    active.stop = () => void stop();
    link.waiting = true;
    try {
      const replies = await link.call(
        join(link.watch(tubes), {
          text: `reserve-with-timeout ${seconds}\r\n`,
          count: 1,
        }),
        {
          deadline,
          cuts: true,
          wait: seconds * 1000,
          action: "wait for a message",
        },
      );
      if (stopped !== undefined) return undefined;
      active.stop = undefined;
      unwatch();
      this.#linger = 0;
      const reserved = reservedIn(replies);
      this.#quiet = reserved.length === 0;
      return await jobs.take(link, reserved, queueOf, {
        deadline,
        cuts: true,
        action: "take a message",
      });
    } catch (error) {
      if (stopped === undefined) throw error;
      return undefined;
    } finally {
      active.stop = undefined;
      unwatch();
      link.waiting = false;
      if (stopped !== undefined) {
        this.#waiters.splice(this.#waiters.indexOf(link), 1);
        this.#links.delete(link);
        this.#wasCut = true;
        this.#quiet = false;
        this.#linger = Math.min(
          MAX_LINGER,
          Math.max(LEAST_LINGER, this.#linger * 2),
        );
        // When the server has closed it, the jobs that it was given last are back.
        await stopped;
      }
    }
  }

  async #waitLink(deadline: number | undefined): Promise<Link> {
    const free = this.#waiters.find(isFree);
    if (free !== undefined) return free;
    const link = await this.#open(deadline);
    this.#waiters.push(link);
    return link;
  }
}

function isFree(link: Link): boolean {
  return link.held === 0 && !link.waiting && !link.ended;
}
