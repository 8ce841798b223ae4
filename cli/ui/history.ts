/** The numbers of a queue that are kept over time. */
export const KEPT = [
  "ready",
  "delayed",
  "unacked",
  "published",
  "consumed",
] as const;

/** Those of them that make a queue's depth. */
const DEPTH = 3;

/** Numbers of a queue; nothing where the broker does not tell one. */
export type Numbers = Readonly<
  Partial<Record<typeof KEPT[number], number | undefined>>
>;

/** What is told of a queue's past. A number that is not known is `null`. */
export interface Past {
  /** When it was looked at, ms since 1970, the oldest first. */
  readonly times: readonly number[];
  /** How many were ready at each. */
  readonly ready: readonly (number | null)[];
  /** How many waited for their time at each. */
  readonly delayed: readonly (number | null)[];
  /** How many were unacked at each. */
  readonly unacked: readonly (number | null)[];
  /** How many had come in, of all time, at each. */
  readonly published: readonly (number | null)[];
  /** How many had left, of all time, at each. */
  readonly consumed: readonly (number | null)[];
}

/** What a broker's queues held, at the same times for all of them: the oldest is forgotten for the newest. */
export class History {
  readonly #size: number;
  readonly #mostQueues: number;
  readonly #times: number[] = [];
  readonly #queues = new Map<string, Float64Array>();
  #next = 0;

  /** Makes one of so many times, for so many queues at most. */
  constructor(size: number, mostQueues: number) {
    this.#size = size;
    this.#mostQueues = mostQueues;
  }

  /**
   * Adds what was seen. Queues that are not among it are forgotten.
   *
   * @param time When, ms since 1970.
   * @param queues The numbers of each queue.
   */
  add(time: number, queues: ReadonlyMap<string, Numbers>): void {
    for (const name of this.#queues.keys()) {
      if (!queues.has(name)) this.#queues.delete(name);
    }
    const at = this.#next;
    this.#times[at] = time;
    for (const [name, numbers] of queues) {
      let kept = this.#queues.get(name);
      if (kept === undefined) {
        if (this.#queues.size >= this.#mostQueues) continue;
        kept = new Float64Array(this.#size * KEPT.length).fill(NaN);
        this.#queues.set(name, kept);
      }
      for (const [i, each] of KEPT.entries()) {
        kept[at * KEPT.length + i] = numbers[each] ?? NaN;
      }
    }
    this.#next = (at + 1) % this.#size;
  }

  /** Adds that nothing could be seen: a gap. */
  addGap(time: number): void {
    const at = this.#next;
    this.#times[at] = time;
    for (const kept of this.#queues.values()) {
      kept.fill(NaN, at * KEPT.length, (at + 1) * KEPT.length);
    }
    this.#next = (at + 1) % this.#size;
  }

  /**
   * Tells the past of a queue.
   *
   * @param name The queue.
   * @param most The maximum number of times.
   * @returns The past, or nothing where none is kept.
   */
  of(name: string, most: number = this.#size): Past | undefined {
    const kept = this.#queues.get(name);
    if (kept === undefined) return undefined;
    const slots = this.#slots().slice(-most);
    const read = (i: number) =>
      slots.map((slot) => {
        const value = kept[slot * KEPT.length + i] ?? NaN;
        return Number.isNaN(value) ? null : value;
      });
    return {
      times: slots.map((slot) => this.#times[slot] ?? 0),
      ready: read(0),
      delayed: read(1),
      unacked: read(2),
      published: read(3),
      consumed: read(4),
    };
  }

  /**
   * Tells how fast something of a queue changes.
   *
   * @param name The queue.
   * @param what Its depth, or one of the numbers that only grow.
   * @param span So many times back.
   * @returns So many a second, less than 0 where it shrinks; nothing where it is not known.
   */
  rateOf(
    name: string,
    what: "depth" | "published" | "consumed",
    span: number,
  ): number | undefined {
    const kept = this.#queues.get(name);
    if (kept === undefined) return undefined;
    const seen = this.#slots().slice(-span - 1)
      .map((slot) =>
        [this.#times[slot] ?? 0, valueAt(kept, slot, what)] as const
      )
      .filter(([, value]) => value !== undefined);
    const [first, last] = [seen[0], seen.at(-1)];
    if (first?.[1] === undefined || last?.[1] === undefined) return undefined;
    const seconds = (last[0] - first[0]) / 1000;
    return seconds <= 0 ? undefined : (last[1] - first[1]) / seconds;
  }

  /** The places of all times, the oldest first. */
  #slots(): number[] {
    const count = this.#times.length;
    const first = count < this.#size ? 0 : this.#next;
    return Array.from({ length: count }, (_, i) => (first + i) % this.#size);
  }
}

/** A number of a queue; its depth is all that is in it, of what is known. */
function valueAt(
  kept: Float64Array,
  slot: number,
  what: "depth" | "published" | "consumed",
): number | undefined {
  const at = slot * KEPT.length;
  const numbers = what === "depth"
    ? kept.subarray(at, at + DEPTH)
    : kept.subarray(at + KEPT.indexOf(what)).subarray(0, 1);
  let sum: number | undefined;
  for (const each of numbers) {
    if (!Number.isNaN(each)) sum = (sum ?? 0) + each;
  }
  return sum;
}
