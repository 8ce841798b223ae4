import type { CallOptions } from "../../model/call_options.ts";
import type {
  ChangeResult,
  InspectionStore,
  MessageStore,
  PutOptions,
  PutResult,
  QuarantineStore,
  Reservation,
  Reserved,
  ReserveOptions,
  ReserveWant,
  Store,
  StoreItem,
  StoreLimits,
  TopologyStore,
} from "../store/store.ts";
import type { Peer } from "../peer.ts";
import type { Lifeline } from "../store/lifeline.ts";
import { LocalTopology } from "../store/local_topology.ts";
import type { Capability, CloseReason, ServerInfo } from "../transport.ts";
import { wholeSeconds } from "./body.ts";
import { Deletions } from "./deletions.ts";
import { Expiry } from "./expiry.ts";
import {
  buryCommand,
  deleteCommand,
  Jobs,
  releaseCommand,
  reserveNow,
} from "./jobs.ts";
import { forgetTube, type Link, type LinkContext } from "./link.ts";
import { Putter } from "./putter.ts";
import { listDelayed } from "./delayed.ts";
import { BeanstalkInspection } from "./inspection.ts";
import { Queues } from "./queues.ts";
import type { Server } from "./server.ts";
import { MAX_AT_ONCE, Reserver } from "./reserver.ts";
import { MAX_TUBE, Tubes } from "./tubes.ts";

/** The shortest time to run that a job can have: how often to renew follows from it. */
const LEAST_LEASE = 1000;

/** How long a reserve waits at the server, ms, where no heartbeat asks for less. */
const RESERVE_WAIT = 10_000;

/** Of any beanstalkd; one with a binlog has persistence too. */
const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "lease",
  "message-ttl",
  "priority",
  "queued-fanout",
];

/** A connection to a beanstalkd. The jobs that it has reserved go back when it closes. */
export class BeanstalkStore implements Store {
  readonly limits: StoreLimits;
  readonly capabilities: ReadonlySet<Capability>;
  readonly closed: Promise<CloseReason>;
  readonly messages: MessageStore;
  readonly topology: TopologyStore = {
    read: () => this.#tables.read(),
    apply: this.#apply.bind(this),
  };
  readonly quarantine: QuarantineStore;
  readonly inspection: InspectionStore;
  readonly #context: LinkContext;
  readonly #version: string | undefined;
  readonly #lifeline: Lifeline;
  readonly #link: Link;
  readonly #tubes = new Tubes();
  readonly #jobs: Jobs;
  readonly #putter: Putter;
  readonly #reserver: Reserver;
  readonly #expiry: Expiry;
  readonly #queues: Queues;
  readonly #deletions: Deletions;
  readonly #tables: LocalTopology = new LocalTopology({
    count: (queue) => this.#queues.count(queue),
    prepare: async (change) => {
      if (change.type !== "queue-declared") return;
      await this.#deletions.read(change.queue.name);
    },
    deleteQueue: (queue) => this.#deleteQueue(queue),
  });

  /** Makes one over the first socket, whose server has said what it can. */
  constructor(context: LinkContext, server: Server) {
    const lifeline = this.#lifeline = context.lifeline;
    this.closed = lifeline.closed;
    this.#context = context;
    this.#link = server.link;
    this.#version = server.version;
    const { clock, heartbeat } = context;
    const tubes = this.#tubes;
    const link = this.#link;
    const deletions = this.#deletions = new Deletions(link, tubes);
    const jobs = this.#jobs = new Jobs(
      clock,
      deletions,
      () => this.#reserver.freed(),
    );
    const reserver = this.#reserver = new Reserver({
      context,
      jobs,
      tubes,
      isMissing: (queue) => this.#tables.topology.queue(queue) === undefined,
      takeExpired: () => this.#expiry.take(),
      waits: (waiting) => waiting ? this.#expiry.arm() : this.#expiry.stop(),
    });
    const expiry = this.#expiry = new Expiry({
      context,
      jobs,
      tubes,
      link,
      deadLetters: (queue) => this.#deadLetters(queue),
      get waiting() {
        return reserver.waiting;
      },
      found: () => reserver.wake(),
    });
    this.#putter = new Putter({
      context,
      tubes,
      link,
      itemBytes: server.itemBytes,
      maxPriority: (queue) =>
        this.#tables.topology.queue(queue)?.traits.maxPriority,
      expires: (queue, ttl) => {
        if (this.#deadLetters(queue)) expiry.note(queue, ttl);
      },
    });
    this.#queues = new Queues({
      context,
      tubes,
      expiry,
      deletions,
      link,
    });
    const host = { context, tubes, link, deletions };
    this.inspection = new BeanstalkInspection(host);
    this.capabilities = new Set(
      server.persistent ? [...CAPABILITIES, "persistence"] : CAPABILITIES,
    );
    this.limits = {
      itemBytes: server.itemBytes,
      reserveCount: MAX_AT_ONCE,
      reserveQueues: Infinity,
      reserveWait: heartbeat > 0
        ? Math.min(RESERVE_WAIT, wholeSeconds(heartbeat) * 1000)
        : RESERVE_WAIT,
      lease: LEAST_LEASE,
      delayStep: 1000,
      queueNameBytes: MAX_TUBE,
    };
    this.messages = {
      count: this.#count.bind(this),
      purge: this.#purge.bind(this),
      listDelayed: (queue, options) => listDelayed(host, queue, options),
      put: this.#put.bind(this),
      reserve: this.#reserve.bind(this),
      remove: this.#settling("remove messages", deleteCommand),
      release: this.#settling("put messages back", releaseCommand),
      renew: (all, options) =>
        lifeline.run("renew messages", options, () => jobs.renew(all, options)),
    };
    this.quarantine = {
      add: this.#settling("quarantine messages", buryCommand),
      list: this.#queues.list.bind(this.#queues),
      putBack: this.#queues.putBack.bind(this.#queues),
    };
    lifeline.onEnd((reason) => {
      expiry.stop();
      reserver.wake();
      if (reason.type === "lost") this.#cut(reason.error);
    });
  }

  #apply(
    ...call: Parameters<TopologyStore["apply"]>
  ): Promise<ChangeResult> {
    return this.#lifeline.run(
      "change the declarations",
      call[2],
      () => this.#tables.apply(...call),
    );
  }

  async #deleteQueue(queue: string): Promise<number> {
    const tube = this.#tubes.of(queue);
    this.#expiry.forget(queue);
    this.#reserver.wake();
    await this.#jobs.orphan(queue);
    const count = await this.#queues.delete(queue);
    this.#deletions.forget(queue);
    await forgetTube(this.#links, tube, `delete queue "${queue}"`);
    return count;
  }

  #count(
    queue: string,
    options?: CallOptions,
  ): Promise<number | undefined> {
    return this.#lifeline.run(
      `count the messages of queue "${queue}"`,
      options,
      () => this.#queues.count(queue),
    );
  }

  #purge(queue: string, options?: CallOptions): Promise<number> {
    return this.#lifeline.run(
      `purge queue "${queue}"`,
      options,
      () => this.#queues.purge(queue),
    );
  }

  #put(items: readonly StoreItem[], options?: PutOptions): Promise<PutResult> {
    const action = "put messages";
    const refusal = this.#lifeline.refusal(action, options);
    if (refusal !== undefined) return Promise.reject(refusal);
    try {
      const { version, instead, signal } = options ?? {};
      if (version !== undefined && version !== this.#tables.routes) {
        return Promise.resolve({ type: "stale" });
      }
      const put = instead === undefined
        ? this.#putter.put(items, options)
        : this.#replace(items, instead, options);
      // Its deadline is watched where it is sent.
      return signal === undefined
        ? put
        : this.#lifeline.wait(action, { signal }, put);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** In two steps: what goes wrong between them leaves two copies, and never none. */
  async #replace(
    items: readonly StoreItem[],
    instead: Reservation,
    options?: CallOptions,
  ): Promise<PutResult> {
    const { deadline } = options ?? {};
    const lost = await this.#jobs.check(instead, {
      deadline,
      action: "put a message instead of another",
    });
    if (lost) return { type: "lost" };
    const result = await this.#putter.put(items, { deadline });
    // It is put: late or not, the other one goes.
    const removal = { deadline, action: "remove messages" };
    await this.#jobs.settle([instead], deleteCommand, removal);
    return result;
  }

  #reserve(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const refusal = this.#lifeline.refusal("take messages", options);
    if (refusal !== undefined) return Promise.reject(refusal);
    return options.wait > 0
      ? this.#reserver.take(wants, options)
      : this.#reserveNow(wants, options);
  }

  async #reserveNow(
    wants: readonly ReserveWant[],
    options: ReserveOptions,
  ): Promise<Reserved> {
    const byTube = new Map(
      wants.map(({ queue }) => [this.#tubes.of(queue), queue]),
    );
    await this.#deletions.readAll(wants.map(({ queue }) => queue));
    const taking = reserveNow(this.#jobs, this.#link, {
      tubes: new Set(byTube.keys()),
      queueOf: (tube) => byTube.get(tube) ?? tube,
      count: Math.min(...wants.map(({ limit }) => limit)),
    });
    try {
      const action = "take messages";
      const reservations = await this.#lifeline.wait(action, options, taking);
      return { reservations, missing: [] };
    } catch (error) {
      // Aborted or late on the way: what it takes goes back.
      taking.then((taken) => this.messages.release(taken)).catch(() => {});
      throw error;
    }
  }

  /** A verb that settles messages by a command. */
  #settling(
    action: string,
    command: typeof releaseCommand,
  ): MessageStore["remove"] {
    return (reservations, options) =>
      this.#lifeline.run(action, options, () => {
        if (command === releaseCommand) this.#expiry.noteReturns(reservations);
        const { deadline } = options ?? {};
        return this.#jobs.settle(reservations, command, { deadline, action });
      });
  }

  peer(): Peer | undefined {
    return this.#link.peer;
  }

  /** It tells no time. */
  serverInfo(): Promise<ServerInfo> {
    const version = this.#version;
    return Promise.resolve({ product: "beanstalkd", version, time: undefined });
  }

  [Symbol.asyncDispose](): Promise<void> {
    const { clock, operationTimeout } = this.#context;
    return this.#lifeline.close(() => {
      const deadline = clock.now() + operationTimeout;
      return Promise.all(this.#links.map((link) => link.close(deadline)));
    });
  }

  destroy(): void {
    this.#lifeline.end();
    this.#cut(new Error("its connection was closed without a word"));
  }

  #cut(error: Error): void {
    for (const link of this.#links) link.destroy(error);
  }

  get #links(): readonly Link[] {
    return [this.#link, ...this.#reserver.links];
  }

  #deadLetters(queue: string): boolean {
    return this.#tables.topology.queue(queue)?.traits.deadLetterExchange !==
      undefined;
  }
}
