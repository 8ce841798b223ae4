import type { CallOptions } from "../../model/call_options.ts";
import type { Reply } from "./client.ts";
import type { Job, Jobs } from "./jobs.ts";
import { type Commands, join, type Link } from "./link.ts";

/** What to take at once. */
export interface TakeNow extends CallOptions {
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
export async function takeNow(
  jobs: Jobs,
  link: Link,
  { tubes, queueOf, count, deadline }: TakeNow,
): Promise<Job[]> {
  const options = { deadline, cuts: true, action: "take messages" };
  const parts: Promise<Job[]>[] = [];
  let watch = link.watch(tubes);
  for (let left = count; left > 0; left -= PART) {
    const call = link.call(
      join(watch, reserveNow(Math.min(left, PART))),
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
export function reserveNow(count: number): Commands {
  return { text: "reserve-with-timeout 0\r\n".repeat(count), count };
}

/**
 * Finds what was reserved among replies.
 *
 * @param replies The replies; the others say that nothing was there.
 * @returns Those with a job.
 */
export function reservedIn(replies: readonly Reply[]): readonly Reply[] {
  return replies.filter(({ word }) => word === "RESERVED");
}
