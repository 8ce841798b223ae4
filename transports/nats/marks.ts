import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import {
  type FoundMark,
  type KeptMark,
  type MarkTable,
  readMark,
} from "../store/put_once.ts";
import { keyOf } from "./keys.ts";
import type { Bucket } from "./records.ts";

/** The marks of messages that are published once: a key each, which the server removes when its time is over. */
export class Marks implements MarkTable {
  readonly limits: Limits;
  readonly clock: Clock;
  readonly #bucket: Bucket;

  /** Makes them over a bucket. */
  constructor(bucket: Bucket, limits: Limits, clock: Clock) {
    this.#bucket = bucket;
    this.limits = limits;
    this.clock = clock;
  }

  now(): number {
    return this.#bucket.now();
  }

  handleFor(): string {
    return crypto.randomUUID();
  }

  async read(key: string): Promise<FoundMark | undefined> {
    const kept = await this.#bucket.get(markKey(key));
    return kept && readMark(kept.value, String(kept.sequence));
  }

  async write(
    key: string,
    mark: KeptMark,
    before: FoundMark | undefined,
  ): Promise<FoundMark | undefined> {
    const { token, until, pending, handles } = mark;
    const seconds = Math.max(1, Math.ceil((until - this.now()) / 1000) + 1);
    const written = await this.#bucket.put(
      markKey(key),
      { token, until, pending, handles },
      Number(before?.revision ?? 0),
      seconds,
    );
    return written === undefined
      ? undefined
      : { ...mark, revision: String(written) };
  }

  async remove(_: string, { revision }: FoundMark): Promise<void> {
    await this.#bucket.remove(Number(revision));
  }
}

function markKey(key: string): string {
  return `mark.${keyOf(key)}`;
}
