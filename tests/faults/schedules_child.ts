// deno-lint-ignore-file no-top-level-await -- a process of its own
/** One of the processes that publish a schedule together: `deno run schedules_child.ts WORK`. */

import { createConnection, Queue } from "@dashi/mq";

/** The work of the process, as JSON. */
export interface ScheduleWork {
  readonly url: string;
  readonly queue: string;
  readonly table: string;
  readonly transportOptions: Readonly<Record<string, unknown>>;
}

const work: ScheduleWork = JSON.parse(Deno.args[0] ?? "{}");
const { url, queue, table, transportOptions } = work;
const connection = createConnection(url, {
  transportOptions,
  connectTimeout: 60_000, // on a machine that is busy
  onUnhandled: () => {},
});
await connection.schedule("tick", { every: 1000 }, {
  queue: new Queue(queue),
  table,
  missed: "all",
  timeout: 600_000,
});
Deno.stdout.writeSync(new TextEncoder().encode("ready\n"));
