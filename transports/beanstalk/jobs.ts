import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Reservation } from "../store/store.ts";
import { readBody, Statistics } from "./body.ts";
import { BeanstalkReservation } from "./reservation.ts";
import type { Reply } from "./client.ts";
import type { Deletions } from "./deletions.ts";
import {
  type Commands,
  join,
  type Link,
  type LinkCall,
  unexpected,
} from "./link.ts";

/** The replies of beanstalkd to commands that succeeded. */
const DONE: ReadonlySet<string> = new Set([
  "DELETED",
  "RELEASED",
  "BURIED",
  "TOUCHED",
]);

/** The jobs that a connection holds, on all of its links. */
export class Jobs {
  readonly #clock: Clock;
  readonly #onFree: () => void;
  readonly #deletions: Deletions;
  readonly #held = new Map<number, BeanstalkReservation>();

  /** Makes an empty list; `onFree` is called when a link holds nothing any more. */
  constructor(clock: Clock, deletions: Deletions, onFree: () => void) {
    this.#clock = clock;
    this.#deletions = deletions;
    this.#onFree = onFree;
  }

  /**
   * Makes jobs of what was reserved: asks how often each was before, and of which tube it
   * is where that may be one of several.
   */
  async take(
    link: Link,
    reserved: readonly Reply[],
    queueOf: (tube: string) => string,
    options: LinkCall,
  ): Promise<BeanstalkReservation[]> {
    const jobs: BeanstalkReservation[] = [];
    if (reserved.length === 0) return jobs;
    link.held += reserved.length;
    let text = "";
    for (const { number } of reserved) text += `stats-job ${number}\r\n`;
    const call = link.call({ text, count: reserved.length }, options);
    // Read while the server answers: the question leaves first.
    const reading = Promise.resolve().then(() =>
      reserved.map(({ body }) => readBody(body ?? new Uint8Array()))
    );
    const [replies, bodies] = await Promise.all([call, reading]);
    let old = "";
    let oldCount = 0;
    for (let i = 0; i < reserved.length; i++) {
      const [job, body, reply] = [reserved[i], bodies[i], replies[i]];
      if (job === undefined || body === undefined || reply?.word !== "OK") {
        this.#let(link); // its time to run is over already
        continue;
      }
      const statistics = new Statistics(reply.body);
      const queue = queueOf(statistics.text("tube") ?? "");
      if (job.number < this.#deletions.of(queue)) {
        old += `delete ${job.number}\r\n`;
        oldCount++;
        this.#let(link);
        continue;
      }
      const held = new BeanstalkReservation(
        queue,
        { id: job.number, ...body },
        statistics,
        link,
        this.#clock,
      );
      // The same job again: its former holder has lost it.
      const before = this.#held.get(held.id);
      if (before !== undefined) this.#forget(before);
      this.#held.set(held.id, held);
      jobs.push(held);
    }
    if (oldCount > 0) await link.call({ text: old, count: oldCount }, options);
    return jobs;
  }

  /** Says whether a reservation is still ours, as far as we know. */
  has(reservation: Reservation): reservation is BeanstalkReservation {
    return reservation instanceof BeanstalkReservation &&
      this.#held.get(reservation.id) === reservation;
  }

  /** Deletes what is held of a queue that was deleted: it is not to come to another of its name, whatever becomes of us. */
  async orphan(queue: string): Promise<void> {
    const orphans = [...this.#held.values()].filter((job) =>
      job.queue === queue && !job.orphaned
    );
    for (const job of orphans) job.orphaned = true;
    const byLink = Map.groupBy(orphans, ({ link }) => link);
    await Promise.all([...byLink].map(([link, jobs]) =>
      link.call({
        text: jobs.map(({ id }) => `delete ${id}\r\n`).join(""),
        count: jobs.length,
      }, { action: `delete queue "${queue}"` })
    ));
  }

  /** Ends holding: deletes, releases or buries. Returns those that were no longer ours. */
  async settle(
    reservations: readonly Reservation[],
    command: (job: BeanstalkReservation) => string,
    options: LinkCall,
  ): Promise<readonly Reservation[]> {
    return await this.#each(reservations, command, options, (job) => {
      this.#forget(job);
    });
  }

  /** Asks whether a reservation is no longer ours. */
  async check(reservation: Reservation, options: LinkCall): Promise<boolean> {
    const now = this.#clock.now();
    const lost = await this.#each(
      [reservation],
      touchCommand,
      options,
      (job) => job.renewedAt = now,
    );
    return lost.length > 0;
  }

  /** Renews those that are due. Returns those that are no longer ours. */
  async renew(
    reservations: readonly Reservation[],
    options: CallOptions | undefined,
  ): Promise<readonly Reservation[]> {
    const now = this.#clock.now();
    // A third: two renewals may fail before someone else is given the job.
    const due = reservations.filter((each) =>
      !this.has(each) || now - each.renewedAt >= each.timeToRun / 3
    );
    if (due.length === 0) return due;
    const lost = await this.#each(
      due,
      touchCommand,
      { ...options, action: "renew messages" },
      (job) => job.renewedAt = now,
    );
    for (const each of lost) if (this.has(each)) this.#forget(each);
    return lost;
  }

  async #each(
    reservations: readonly Reservation[],
    command: (job: BeanstalkReservation) => string,
    options: LinkCall,
    sent: (job: BeanstalkReservation) => void,
  ): Promise<readonly Reservation[]> {
    const lost: Reservation[] = [];
    const batches = new Map<
      Link,
      { text: string; jobs: BeanstalkReservation[] }
    >();
    for (const reservation of reservations) {
      if (!this.has(reservation)) {
        lost.push(reservation);
        continue;
      }
      if (reservation.orphaned) {
        sent(reservation); // it went with its queue: there is nothing to do
        continue;
      }
      let batch = batches.get(reservation.link);
      if (batch === undefined) {
        batches.set(reservation.link, batch = { text: "", jobs: [] });
      }
      batch.text += command(reservation);
      batch.jobs.push(reservation);
    }
    const calls = [...batches].map(async ([link, { text, jobs }]) => {
      const call = link.call({ text, count: jobs.length }, options);
      // The commands are on their way: a reserve on this link comes after them.
      for (const job of jobs) sent(job);
      let replies: readonly Reply[];
      try {
        replies = await call;
      } catch (error) {
        for (const job of jobs) this.#keep(job, true);
        throw error;
      }
      let refused = "";
      for (let i = 0; i < jobs.length; i++) {
        const [job, word = ""] = [jobs[i], replies[i]?.word];
        if (job === undefined || DONE.has(word)) continue;
        if (word !== "NOT_FOUND") {
          refused ||= word;
          this.#keep(job, false);
        } else if (!job.unsure) lost.push(job); // else it was settled before
      }
      if (refused !== "") throw unexpected(options.action, refused);
    });
    await Promise.all(calls);
    return lost;
  }

  /** Its settlement failed, or may have: it is ours still, as far as we know. */
  #keep(job: BeanstalkReservation, unsure: boolean): void {
    if (unsure) job.unsure = true;
    if (this.#held.has(job.id) || job.link.ended) return;
    this.#held.set(job.id, job);
    job.link.held++;
  }

  #forget(job: BeanstalkReservation): void {
    if (this.#held.get(job.id) !== job) return;
    this.#held.delete(job.id);
    this.#let(job.link);
  }

  #let(link: Link): void {
    if (--link.held === 0) this.#onFree();
  }
}

function touchCommand({ id }: BeanstalkReservation): string {
  return `touch ${id}\r\n`;
}

/** The command that ends a job. */
export function deleteCommand({ id }: BeanstalkReservation): string {
  return `delete ${id}\r\n`;
}

/** The command that puts a job back. */
export function releaseCommand({ id, priority }: BeanstalkReservation): string {
  return `release ${id} ${priority} 0\r\n`;
}

/** The command that quarantines a job. */
export function buryCommand({ id, priority }: BeanstalkReservation): string {
  return `bury ${id} ${priority}\r\n`;
}

/** The tubes and the maximum number of jobs to reserve at once. */
export interface ReserveNow extends CallOptions {
  readonly tubes: ReadonlySet<string>;
  readonly queueOf: (tube: string) => string;
  readonly count: number;
}

/**
 * Takes jobs that are ready, and waits for none.
 *
 * @param jobs The list of what is held.
 * @param link The socket that will hold them.
 * @param what From where, and how many at most.
 * @returns The jobs.
 */
export async function reserveNow(
  jobs: Jobs,
  link: Link,
  { tubes, queueOf, count, deadline }: ReserveNow,
): Promise<BeanstalkReservation[]> {
  const options = { deadline, cuts: true, action: "take messages" };
  const parts: Promise<BeanstalkReservation[]>[] = [];
  let watch = link.watch(tubes);
  for (let left = count; left > 0; left -= PART) {
    const call = link.call(
      join(watch, reserveCommands(Math.min(left, PART))),
      options,
    );
    watch = NOTHING;
    parts.push(
      call.then((replies) =>
        jobs.take(link, reservedIn(replies), queueOf, options)
      ),
    );
  }
  return (await Promise.all(parts)).flat();
}

/** So many jobs are looked at while the server reserves the next. */
const PART = 25;

const NOTHING: Commands = { text: "", count: 0 };

/**
 * The commands that reserve what is ready.
 *
 * @param count How many at most.
 * @returns The commands.
 */
export function reserveCommands(count: number): Commands {
  return { text: "reserve-with-timeout 0\r\n".repeat(count), count };
}

/**
 * Finds what was reserved among replies.
 *
 * @param replies The replies; the others say that nothing was there.
 * @returns The tubes with a job.
 */
export function reservedIn(replies: readonly Reply[]): readonly Reply[] {
  return replies.filter(({ word }) => word === "RESERVED");
}
