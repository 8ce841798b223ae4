/** The worker's part that a test calls, too. */

import type { Connection } from "@dashi/mq";
import { type Job, pictures } from "./jobs.ts";

/** Does the jobs of the queue until its consumer is cancelled or its signal aborts. */
export async function work(
  connection: Connection,
  resize: (job: Job) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  await connection.consumer(pictures).run(({ payload }) => resize(payload), {
    concurrency: 4,
    retry: { attempts: 5 },
    signal,
  });
}
