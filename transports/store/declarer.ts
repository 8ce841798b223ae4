import type { Limits } from "../../async/limits.ts";
import { Waiters } from "../../async/waiters.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  ChannelError,
  type Outcome,
  PreconditionFailedError,
  TimeoutError,
} from "../../model/errors.ts";
import { planConsume } from "../../virtual/consume.ts";
import {
  foreignQueue,
  type Topology,
  type TopologyChange,
} from "../../virtual/topology.ts";
import type { TopologyKey, TopologyStore, TopologyView } from "./store.ts";

/** Plans the changes from a topology to the wanted one, or throws if it cannot be reached. */
export type Plan = (topology: Topology) => readonly TopologyChange[];

/** So many changes are made in one step, where the store reads for several at once. */
const MAX_TOGETHER = 100;

/** A change that waits for its turn, or has it. */
interface Step {
  readonly key: TopologyKey;
  readonly plan: Plan;
  readonly options: CallOptions | undefined;
  readonly begin: () => void;
  readonly resolve: (messageCount: number) => void;
  readonly reject: (error: unknown) => void;
  /** Whether it is made by itself. */
  alone: boolean;
}

/**
 * Changes the tables, for all of a connection: those that come at the same time would all
 * rest on the same version, and all but one of them be done again. So they stand in a line;
 * where the store reads for several at once, those at its head that only add, and do not
 * rest on each other, are made in one step.
 */
export class Declarer {
  readonly #topology: TopologyStore;
  readonly #limits: Limits;
  readonly #waiting = new Waiters<Step>();
  /** Steps that were planned on a stale view and are planned again, ahead of those that wait. */
  #again: Step[] = [];
  #running = false;

  /** Makes one that has changed nothing. */
  constructor(topology: TopologyStore, limits: Limits) {
    this.#topology = topology;
    this.#limits = limits;
  }

  /**
   * Reads, plans and applies, and does so again if another process was faster.
   *
   * @param key The part of the tables that the plan looks at.
   * @param plan Decides.
   * @param options The call's limits, kept by the store's own calls.
   * @returns How many messages went with deleted queues.
   * @throws {PreconditionFailedError} If a queue should have been empty and is not.
   */
  async change(
    key: TopologyKey,
    plan: Plan,
    options?: CallOptions,
  ): Promise<number> {
    const begun = Promise.withResolvers<void>();
    const made = Promise.withResolvers<number>();
    const place = this.#waiting.add({
      ...{ key, plan, options, begin: begun.resolve },
      ...{ resolve: made.resolve, reject: made.reject, alone: false },
    });
    this.#run();
    try {
      await this.#limits.wait(
        begun.promise,
        options,
        () => lateError(key, "other changes have not ended", "not-sent"),
      );
    } catch (error) {
      place.leave();
      made.promise.catch(() => {});
      throw error;
    }
    return await made.promise;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    await undefined; // those of the same turn come together
    for (let steps = this.#next(); steps.length > 0; steps = this.#next()) {
      const [first, ...others] = steps;
      if (first !== undefined && others.length === 0) {
        await this.#make(first, first.options);
      } else await this.#makeTogether(steps);
      await undefined; // the caller's `then`
    }
    this.#running = false;
  }

  /** Takes those out of the line whose turn it is. */
  #next(): readonly Step[] {
    const most = this.#topology.readTogether === undefined ? 1 : MAX_TOGETHER;
    const steps: Step[] = [];
    const take = () => this.#again.shift() ?? this.#waiting.shift();
    for (let next = take(); next !== undefined; next = take()) {
      const isAlone = next.alone || next.key.type === "owner";
      if (isAlone && steps.length > 0) {
        this.#again.unshift(next);
        break;
      }
      next.begin();
      steps.push(next);
      if (isAlone || steps.length === most) break;
    }
    return steps;
  }

  async #make(step: Step, options: CallOptions | undefined): Promise<void> {
    const { key, plan, resolve, reject } = step;
    const topology = this.#topology;
    try {
      for (;;) {
        options?.signal?.throwIfAborted();
        const view = await topology.read(key, options);
        const changes = plan(view.topology);
        if (changes.length === 0) return resolve(0);
        const result = await topology.apply(
          changes,
          view.version,
          options,
        );
        switch (result.type) {
          case "applied":
            return resolve(result.messageCount);
          case "not-empty":
            throw new PreconditionFailedError(
              `Cannot delete queue "${key.name}" if empty: it has messages`,
            );
          case "stale":
            continue;
        }
      }
    } catch (error) {
      reject(error);
    }
  }

  /** Makes several in one step. Each caller waits no longer than its own limits say. */
  async #makeTogether(steps: readonly Step[]): Promise<void> {
    const topology = this.#topology;
    const waiting = new Set<Step>();
    for (const step of steps) {
      if (step.options?.signal?.aborted) {
        step.reject(step.options.signal.reason);
      } else waiting.add(step);
    }
    const unwatch = [...waiting].map((step) =>
      this.#limits.watch(step.options, (reason) => {
        waiting.delete(step);
        step.reject(
          reason === undefined
            ? lateError(step.key, "the broker has not answered", "unknown")
            : reason.aborted,
        );
      })
    );
    const deadline = Math.max(
      ...steps.map(({ options }) => options?.deadline ?? Infinity),
    );
    const options = deadline === Infinity ? {} : { deadline };
    let planned: Planned | undefined;
    try {
      for (;;) {
        const asked = [...waiting];
        const view = await topology.readTogether?.(
          asked.map(({ key }) => key),
          options,
        );
        if (view === undefined) break;
        planned = planTogether(asked.filter((each) => waiting.has(each)), view);
        if (planned.changes.length === 0) break;
        const { type } = await topology.apply(
          planned.changes,
          view.version,
          options,
        );
        if (type === "applied") break;
      }
      for (const [step, error] of planned?.refused ?? []) step.reject(error);
      for (const step of planned?.made ?? []) step.resolve(0);
      const later = planned?.later ?? [];
      this.#again.unshift(...later.filter((each) => waiting.has(each)));
    } catch (error) {
      // One of them may be at fault: each is to fail by its own.
      const isTheirs = error instanceof ChannelError && !error.retryable;
      if (!isTheirs) { for (const step of waiting) step.reject(error); }
      else {
        for (const step of waiting) step.alone = true;
        this.#again.unshift(...waiting);
      }
    } finally {
      for (const each of unwatch) each();
    }
  }
}

/** The steps that one write to the topology covers, and the steps that it leaves. */
interface Planned {
  readonly changes: readonly TopologyChange[];
  /** The steps that these changes complete, or that need no change. */
  readonly made: readonly Step[];
  readonly refused: readonly (readonly [step: Step, error: unknown])[];
  /** The steps that may depend on the result of these changes. */
  readonly later: readonly Step[];
}

function planTogether(
  steps: readonly Step[],
  { topology }: TopologyView,
): Planned {
  const changes: TopologyChange[] = [];
  const made: Step[] = [];
  const refused: [Step, unknown][] = [];
  const later: Step[] = [];
  /** The names that the changes so far concern, and the names whose change may alter another step's plan. */
  const [concerned, changed] = [new Set<string>(), new Set<string>()];
  for (const [place, step] of steps.entries()) {
    const put = (names: Iterable<string>) => {
      later.push(step);
      // Later steps that depend on the same names keep their place behind this one.
      for (const name of names) changed.add(name);
    };
    const key = nameOf(step.key.type, step.key.name);
    let own: readonly TopologyChange[];
    try {
      own = step.plan(topology);
    } catch (error) {
      if (changes.length + later.length === 0) refused.push([step, error]);
      else put([key]);
      continue;
    }
    if (!isConfined(own)) {
      // It may take more with it than it names: it is made by itself, before the others.
      step.alone = true;
      later.push(...steps.slice(place));
      break;
    }
    const names = own.flatMap(namesIn);
    const isFree = !changed.has(key) && own.every((each) => {
      const rests = isOneOfMany(each, topology) ? changed : concerned;
      return !namesIn(each).some((name) => rests.has(name));
    });
    if (isFree && (own.length > 0 || !concerned.has(key))) {
      made.push(step);
      changes.push(...own);
      for (const each of own) {
        for (const name of namesIn(each)) {
          concerned.add(name);
          if (!isOneOfMany(each, topology)) changed.add(name);
        }
      }
    } else put([key, ...names]);
  }
  return { changes, made, refused, later };
}

/** Whether all changes concern what they name alone: a queue that goes with its last consumer, and was bound to nothing, too. */
function isConfined(changes: readonly TopologyChange[]): boolean {
  const isCancel = changes[0]?.type === "consumer-removed";
  return changes.every(({ type }) =>
    type === "queue-deleted"
      ? isCancel
      : type !== "exchange-deleted" && type !== "unbound"
  );
}

/** Whether others of its kind may be planned on the same view, as bindings, and consumers that share their queue. */
function isOneOfMany(change: TopologyChange, topology: Topology): boolean {
  switch (change.type) {
    case "bound":
      return true;
    case "consumer-added":
      return !change.consumer.exclusive;
    case "consumer-removed":
      return topology.queue(change.queue)?.declaration.autoDelete === false;
    default:
      return false;
  }
}

function namesIn(change: TopologyChange): readonly string[] {
  switch (change.type) {
    case "exchange-declared":
      return [nameOf("exchange", change.exchange.name)];
    case "queue-declared":
      return [nameOf("queue", change.queue.name)];
    case "queue-deleted":
      return [nameOf("queue", change.name)];
    case "bound": {
      const { source, destination: { kind, name } } = change.binding;
      return [nameOf("exchange", source), nameOf(kind, name)];
    }
    case "consumer-added":
    case "consumer-removed":
      return [nameOf("queue", change.queue)];
    default:
      return [];
  }
}

function nameOf(type: TopologyKey["type"], name: string): string {
  return `${type} ${name}`;
}

function lateError(
  { type, name }: TopologyKey,
  why: string,
  outcome: Outcome,
): TimeoutError {
  return new TimeoutError(
    `Cannot change the declarations around ${type} "${name}" in time: ${why}`,
    { outcome },
  );
}

/**
 * Plans to consume. A queue that is not in the tables is added as somebody else's, where
 * those do not know all queues.
 *
 * @param topology The tables.
 * @param what The queue's name, the consumer, and which of the present ones are gone.
 * @param owner The owner of the consumer.
 * @param knowsQueues Whether a queue that is not in the tables is not there.
 * @returns The changes.
 * @throws {NotFoundError} If there is no such queue.
 */
export function planConsumeAny(
  topology: Topology,
  what: Parameters<typeof planConsume>[1],
  owner: string,
  knowsQueues: boolean,
): readonly TopologyChange[] {
  const { queue: name, consumer } = what;
  if (knowsQueues || topology.queue(name) !== undefined) {
    return planConsume(topology, what, owner);
  }
  return [
    foreignQueue(name),
    { type: "consumer-added", queue: name, consumer },
  ];
}
