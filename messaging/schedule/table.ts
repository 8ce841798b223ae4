import { asError } from "../../model/error_text.ts";
import { NotFoundError, OptionError } from "../../model/errors.ts";
import { sleep } from "../connection/retry.ts";
import { queueStatus } from "../connection/tables.ts";
import type { Link } from "../connection/topology_channel.ts";
import { Consumer } from "../consume/consumer.ts";
import { Getter } from "../consume/getter.ts";
import { type Message, ReceivedMessage } from "../consume/message.ts";
import { Queue } from "../entities/queue.ts";
import { declareFirst } from "../publish/declare_first.ts";
import type { ScheduleInfo } from "./schedule_options.ts";
import type { ScheduleHost } from "./schedule_host.ts";
import { infoOf, type ScheduleState } from "./state.ts";
import { Ticker } from "./ticker.ts";
import { retryDelay } from "./timing.ts";
import { Tokens } from "./tokens.ts";
import { type Asked, readSheet, type Sheet } from "./wire.ts";

/** How long a holder has to answer before others look for what lies in the queue, ms. */
const FIRST_LOOK = 300;

/** How often a process that holds nothing looks whether there is something to hold, ms. */
const LOOK = 3000;

/** How long a holder that is there has for questions that were found, before another answers, ms. */
const HOLDERS_TURN = 1000;

/** How long what was found lies in the queue again, for another holder, before it is consumed, ms. */
const SETTLING = 500;

/** A holder that has nothing for so long leaves the queue to the others, ms. */
const IDLE = 3000;

/** The maximum number of schedules that one process holds. */
const MAX_HELD = 10_000;

/**
 * This process's share in a table of schedules.
 *
 * A table is a queue, and each of its schedules is a message there, its token: the
 * definition, and the last tick that was published. The process that holds the token publishes
 * the ticks, puts the token back as it is then, and acks the old one; if that process is
 * killed, the broker gives the token to another. A kill between those steps leaves two
 * tokens, of one schedule: as soon as one process holds both it writes the one that
 * they come to. A definition, a removal, and a wish for a list are messages there, too, and
 * a holder answers them.
 *
 * Mostly one process consumes, and so holds all. The others look every few seconds
 * whether something lies there, which a holder would have taken at once. One that finds
 * something puts it back before it begins to consume: if there is another holder, it has
 * it. Of two that consume all the same, one sees the other's name on a token, and the one
 * whose name comes later in the alphabet yields.
 */
export class ScheduleTable {
  readonly #host: ScheduleHost;
  #getter: Getter<unknown>;
  readonly #tokens: Tokens;
  readonly #ticker: Ticker;
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  /** The work that is under way, and must end before the tokens go back. */
  readonly #working = new Set<Promise<void>>();
  readonly queue: Queue;
  #asked: { readonly message: Message<unknown>; readonly asked: Asked }[] = [];
  #consumer: Consumer | undefined;
  /** Whether the last look has left to a holder what it found. */
  #hasLeft = false;
  #lastNews = 0;
  /** The connection that its own schedules were put by. */
  #link: Link | undefined;

  /** Joins in a table. */
  constructor(host: ScheduleHost, name: string) {
    this.#host = host;
    this.queue = new Queue(name);
    this.#getter = this.#newGetter();
    this.#tokens = new Tokens(host, name);
    this.#ticker = new Ticker(
      host,
      this.#tokens,
      (work) => this.#track(work),
      () => this.#glance(),
    );
    this.#running = this.#run();
  }

  /** Whether schedules were given here. Without any it only asks for a list, and publishes no ticks. */
  get takesPart(): boolean {
    return this.#tokens.own.size > 0;
  }

  /** Notes a definition that is given here. */
  give(state: ScheduleState): void {
    this.#tokens.own.set(state.name, { state, isTold: false });
  }

  /** A schedule is no matter of this process any more. */
  forget(name: string): void {
    this.#tokens.own.delete(name);
  }

  /** Tells, once, if the definition that was given here does not hold. */
  compare(holds: ScheduleState): void {
    this.#tokens.compare(holds);
  }

  /** How many schedules it holds. */
  get held(): number {
    return this.#tokens.held.size;
  }

  /** Describes a schedule; without its next tick where its expression is none here: it may be of a process with a newer parser. */
  async describe(state: ScheduleState): Promise<ScheduleInfo> {
    const timing = await this.#tokens.timingOf(state).catch((error) => {
      if (error instanceof OptionError) return undefined;
      throw error;
    });
    return infoOf(state, timing);
  }

  /** Gives all back, in time or not: what is still held goes back with the connection. Never rejects. */
  async close(deadline: number): Promise<void> {
    const { limits, clock } = this.#host.session;
    this.#stopping.abort();
    this.#ticker.stop();
    const inTime = (work: Promise<unknown>) =>
      limits.wait(work, { deadline }, () => new Error("late")).catch(() => {});
    await inTime(Promise.all(this.#working));
    const drainTimeout = Math.max(1, deadline - clock.now());
    await this.#consumer?.close({ drainTimeout });
    await inTime(this.#running);
    await this.#getter[Symbol.asyncDispose]().catch(() => {});
    this.#tokens.clear();
  }

  async #run(): Promise<void> {
    const { session } = this.#host;
    const { signal } = this.#stopping;
    let wait = FIRST_LOOK;
    let failures = 0;
    while (!signal.aborted) {
      try {
        await this.#sleep(wait * (0.75 + session.random() / 2));
        wait = LOOK;
        const found = await this.#look();
        if (found === "for its holder") wait = HOLDERS_TURN;
        else if (found === "something") {
          await this.#sleep(SETTLING);
          await this.#consume();
        }
        failures = 0;
      } catch (error) {
        await this.#giveBack();
        if (signal.aborted) return;
        wait = retryDelay(failures++);
        session.emit({
          type: "consume-failed",
          queue: this.queue.name,
          delay: wait,
          error: asError(error),
        });
      }
    }
  }

  #newGetter(): Getter<unknown> {
    const { session, decoding } = this.#host;
    return new Getter(session, decoding, undefined, false);
  }

  /** Gives back messages that were taken and could not be seen to: to another process, or to this one when it looks again. Never rejects. */
  async #giveBack(): Promise<void> {
    const getter = this.#getter;
    this.#getter = this.#newGetter();
    this.#asked = [];
    this.#tokens.clear();
    await getter[Symbol.asyncDispose]().catch(() => {});
  }

  /** Takes all that lies in the queue, writes it anew, and answers; says whether there was something. */
  async #look(): Promise<"nothing" | "something" | "for its holder"> {
    const { session } = this.#host;
    const call = { ...session.call(), signal: this.#stopping.signal };
    await declareFirst(session, [this.queue], { ...call, retry: true });
    await this.#putOwn();
    let found = false;
    while (this.held < MAX_HELD) {
      const message = await this.#getter.get(this.queue.name, call)
        .catch(async (error) => {
          if (!(error instanceof NotFoundError)) throw error;
          await session.declare([this.queue], () => call); // somebody has deleted it
          return undefined;
        });
      if (message === undefined) break;
      found = true;
      this.#take(message);
    }
    this.#hasLeft = found && await this.#isForHolder();
    if (!found) return "nothing";
    if (this.#hasLeft) {
      await this.#giveBack();
      return "for its holder";
    }
    const held = [...this.#tokens.held.values()];
    await Promise.all(held.map((each) => this.#tokens.write(each)));
    await this.#answerAll();
    return "something";
  }

  /** Questions alone, of what another holds: only where that does not answer is it to be done without. */
  async #isForHolder(): Promise<boolean> {
    if (this.held > 0 || this.#asked.length === 0 || this.#hasLeft) {
      return false;
    }
    const { consumerCount = 0 } = await queueStatus(
      this.#host.session,
      this.queue,
      { signal: this.#stopping.signal },
    );
    return consumerCount > 0;
  }

  /** Consumes until there is nothing to hold, or somebody else is to hold it. */
  async #consume(): Promise<void> {
    const { session, decoding, publisher } = this.#host;
    const consumer = new Consumer(
      session,
      decoding,
      [this.queue],
      { prefetch: MAX_HELD },
      () => {},
      publisher,
    );
    this.#consumer = consumer;
    this.#lastNews = session.clock.now();
    this.#ticker.start();
    try {
      for await (const message of consumer) {
        this.#lastNews = session.clock.now();
        this.#take(message);
        if (this.#asked.length > 0) this.#track(this.#answerAll());
        this.#ticker.arm();
      }
    } finally {
      this.#ticker.stop();
      await Promise.all(this.#working);
      await consumer.close();
      this.#consumer = undefined;
      this.#tokens.clear();
    }
  }

  /** Keeps a message: it is settled when what it says is written elsewhere. */
  #take(message: Message<unknown>): void {
    let read: Sheet;
    try {
      read = readSheet(message.body);
    } catch (thrown) {
      this.#track(this.#refuse(message, asError(thrown)));
      return;
    }
    if (read.type !== "token") {
      this.#asked.push({ message, asked: read });
      return;
    }
    if (read.by < this.#tokens.me) this.#consumer?.cancel().catch(() => {});
    const holding = this.#tokens.hold(message, read.state);
    // A crash has left two, or somebody has given another definition meanwhile.
    if (holding.count > 1 && !holding.isBusy && this.#consumer !== undefined) {
      this.#track(this.#tokens.write(holding));
    }
  }

  /** It is nothing of ours: it is kept where an operator finds it. */
  async #refuse(message: Message<unknown>, error: Error): Promise<void> {
    if (!(message instanceof ReceivedMessage)) return;
    const { messageId } = message.properties;
    const parked = await message.park({
      "x-error-name": error.name,
      "x-error-message": error.message.toWellFormed(),
    }, error);
    if (parked.type !== "parked") return; // which is told elsewhere
    this.#host.session.emit({
      type: "parked",
      queue: this.queue.name,
      to: parked.to,
      messageId,
      error,
      attempts: 1,
    });
  }

  /** Answers what was asked, in order. Never rejects. */
  async #answerAll(): Promise<void> {
    for (const { message, asked } of this.#asked.splice(0)) {
      try {
        const answer = await this.#answer(asked);
        await message.ack();
        await this.#reply(message, answer);
      } catch {
        // It goes back, unless it is acked: the asker's deadline tells.
        await message.requeue().catch(() => {});
      }
    }
  }

  async #answer(asked: Asked): Promise<unknown> {
    switch (asked.type) {
      case "list":
        return this.#tokens.states;
      case "define":
        return await this.#tokens.change(asked.state);
      case "remove": {
        const { name, since } = asked;
        const before = this.#tokens.stateOf(name);
        const version = asked.version ?? before?.version ?? 0;
        await this.#tokens.change({
          name,
          version,
          since,
          definition: null,
          from: since,
          last: since,
        });
        // Asked twice, it has removed what it removed.
        return before !== undefined && before.version <= version &&
          (before.definition !== null || before.since === since);
      }
    }
  }

  async #reply(message: Message<unknown>, answer: unknown): Promise<void> {
    const { replyTo, correlationId } = message.properties;
    if (replyTo === undefined) return;
    await this.#tokens.publishOwn({
      exchange: "",
      routingKey: replyTo,
      mandatory: false,
      delay: 0,
      properties: {
        contentType: "application/json",
        contentEncoding: "utf-8",
        deliveryMode: "transient",
        correlationId,
      },
      body: new TextEncoder().encode(JSON.stringify(answer)),
      ownsProperties: true,
    });
  }

  /** On a new connection, puts what was given here: the broker may have lost all. */
  async #putOwn(): Promise<void> {
    const link = this.#host.session.open;
    if (link === undefined || link === this.#link) return;
    const isFirst = this.#link === undefined;
    this.#link = link;
    if (!isFirst) await this.#tokens.putOwn();
  }

  #glance(): void {
    const { clock } = this.#host.session;
    const isIdle = this.held === 0 && this.#working.size === 0 &&
      clock.now() - this.#lastNews > IDLE;
    if (isIdle) this.#consumer?.cancel().catch(() => {});
    else this.#track(this.#putOwn());
  }

  async #sleep(delay: number): Promise<void> {
    const { clock, limits } = this.#host.session;
    await sleep(delay, this.#stopping, clock, limits);
  }

  #track(work: Promise<void>): void {
    const tracked = work.catch(() => {}).finally(() => {
      this.#working.delete(tracked);
    });
    this.#working.add(tracked);
  }
}
