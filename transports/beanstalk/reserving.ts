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
  const replies = await link.call(
    join(link.watch(tubes), reserveNow(count)),
    { deadline, action: "take messages" },
  );
  return await jobs.take(link, reservedIn(replies), queueOf, {
    deadline,
    action: "take messages",
  });
}

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
