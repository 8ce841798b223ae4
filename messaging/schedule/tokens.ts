import { Line } from "../../async/line.ts";
import type { Publishing } from "../../model/message.ts";
import type { Message } from "../consume/message.ts";
import {
  type MessagePublisher,
  NO_PLACE,
  type OrderedPlace,
} from "../publish/publish_call.ts";
import { Holding } from "./holding.ts";
import type { ScheduleHost } from "./schedule_host.ts";
import { join, type ScheduleState } from "./state.ts";
import { timingOf } from "./timing.ts";
import type { Timing } from "./when.ts";
import { payloadOf } from "./wire.ts";

/** A definition that was given here. */
export interface Given {
  readonly state: ScheduleState;
  /** Whether it was told that it does not hold. */
  isTold: boolean;
}

/** The schedules of a table that are known here, and the tokens of those that are held. */
export class Tokens {
  readonly #host: ScheduleHost;
  readonly #queue: string;
  readonly #place: OrderedPlace = { ...NO_PLACE, line: new Line() };
  /** The newest state of each that was ever seen here. */
  readonly #known = new Map<string, ScheduleState>();
  readonly #timings = new Map<string, { when: string; timing: Timing }>();
  readonly #held = new Map<string, Holding>();
  /** The name that this process signs its tokens with. */
  readonly me: string = crypto.randomUUID();
  /** The schedules that were given here. */
  readonly own: Map<string, Given> = new Map<string, Given>();

  /** Makes one that knows nothing. */
  constructor(host: ScheduleHost, queue: string) {
    this.#host = host;
    this.#queue = queue;
  }

  /** The tokens that are held. */
  get held(): ReadonlyMap<string, Holding> {
    return this.#held;
  }

  /** The states of all that are known. */
  get states(): readonly ScheduleState[] {
    return [...this.#known.values()];
  }

  /** The state of one. */
  stateOf(name: string): ScheduleState | undefined {
    return this.#known.get(name);
  }

  /** Joins a state with what is known. */
  learn(state: ScheduleState): ScheduleState {
    const known = this.#known.get(state.name);
    const joined = known === undefined ? state : join(known, state);
    this.#known.set(state.name, joined);
    return joined;
  }

  /** Tells, once, if the definition that was given here does not hold. */
  compare({ name, version, definition }: ScheduleState): void {
    const given = this.own.get(name);
    if (given === undefined || given.isTold) return;
    // One has travelled as JSON: what is undefined has not.
    const [holds, own] = [definition, given.state.definition]
      .map((each) => JSON.stringify(each));
    if (holds === own) return;
    given.isTold = true;
    this.#host.session.emit({
      type: "schedule-superseded",
      name,
      version: given.state.version,
      by: version,
      removed: definition === null,
    });
  }

  /**
   * Its ticks are done with up to a moment, be it an earlier one.
   *
   * @param state The state that was gone by.
   * @param last The moment.
   * @returns The state now; `undefined` where another is known meanwhile, of another definition, or with ticks to be made up for.
   */
  done(state: ScheduleState, last: number): ScheduleState | undefined {
    const { name, version, since } = state;
    const known = this.#known.get(name);
    if (known?.version !== version || known.since !== since) return undefined;
    // A token that a killed process held has come, and is joined: what it left is not done yet.
    if (known.last !== state.last) return undefined;
    const now = { ...known, from: Math.min(known.from, last), last };
    this.#known.set(name, now);
    return now;
  }

  /** Holds a token. */
  hold(message: Message<unknown>, state: ScheduleState): Holding {
    const joined = this.learn(state);
    // The token of a process that was killed comes after the answers that were given without it.
    const given = this.own.get(joined.name)?.state;
    if (given !== undefined && joined.version > given.version) {
      this.compare(joined);
    }
    const holding = this.#holdingOf(joined.name);
    holding.add(message, () => this.letGo(holding));
    return holding;
  }

  /** Forgets that tokens are held: they are given back elsewhere. */
  clear(): void {
    this.#held.clear();
  }

  /** Writes what is known of a schedule from now on. */
  async change(state: ScheduleState): Promise<ScheduleState> {
    const joined = this.learn(state);
    await this.write(this.#holdingOf(state.name));
    return joined;
  }

  /** Writes a token as the schedule is now, and acks those that it comes from. */
  async write(holding: Holding): Promise<void> {
    const { name } = holding;
    const state = this.#known.get(name);
    if (state === undefined) return;
    await holding.replace(
      () => this.#put(state),
      this.#host.session.clock.now(),
    );
    this.letGo(holding);
  }

  /** Puts what was given here once more: what is there already is joined with it. */
  async putOwn(): Promise<void> {
    for (const name of this.own.keys()) {
      const state = this.#known.get(name);
      if (state !== undefined) await this.#put(state);
    }
  }

  /** If its token is on its way, or somebody else's: it is held again when that comes. */
  letGo(holding: Holding): void {
    const { name } = holding;
    if (holding.count > 0 || this.#held.get(name) !== holding) return;
    this.#held.delete(name);
  }

  /** The ticks of a schedule. */
  async timingOf(state: ScheduleState): Promise<Timing | undefined> {
    const { name, definition } = state;
    if (definition === null) return undefined;
    const when = JSON.stringify(definition.when);
    const known = this.#timings.get(name);
    if (known?.when === when) return known.timing;
    const timing = await timingOf(definition.when);
    this.#timings.set(name, { when, timing });
    return timing;
  }

  /** Publishes a tick. */
  readonly publish = async (message: Publishing): Promise<void> => {
    await this.#publishBy(this.#host.ticks, message);
  };

  /** Publishes a message between the processes of a table, which no middleware sees. */
  readonly publishOwn = async (message: Publishing): Promise<void> => {
    await this.#publishBy(this.#host.publisher, message);
  };

  async #publishBy(
    publisher: MessagePublisher,
    message: Publishing,
  ): Promise<void> {
    const call = this.#host.session.call();
    await publisher.publish(message, { ...call, retry: true }, this.#place);
  }

  #holdingOf(name: string): Holding {
    const known = this.#held.get(name);
    if (known !== undefined) return known;
    const holding = new Holding(name, this.#host.session.clock.now());
    this.#held.set(name, holding);
    return holding;
  }

  async #put(state: ScheduleState): Promise<void> {
    const token = payloadOf({ type: "token", state, by: this.me });
    await this.publishOwn({
      exchange: "",
      routingKey: this.#queue,
      mandatory: this.#host.session.knowsQueues,
      delay: 0,
      properties: {
        contentType: "application/json",
        contentEncoding: "utf-8",
        deliveryMode: "persistent",
        messageId: crypto.randomUUID(),
      },
      body: new TextEncoder().encode(JSON.stringify(token)),
      ownsProperties: true,
    });
  }
}
