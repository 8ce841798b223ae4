import type { CallOptions } from "../../model/call_options.ts";
import type { Rate } from "../rates.ts";
import type { Context } from "./context.ts";

/** Counts one more handler of a queue and a key, or says how long until one may begin. */
export async function admit(
  context: Context,
  queue: string,
  key: string,
  { limit, interval }: Rate,
  options?: CallOptions,
): Promise<number> {
  const list = context.layout.rate(queue, key);
  const reply = await context.run(
    "admit",
    `count a handler of queue "${queue}"`,
    [list, limit, Math.ceil(interval * 1000)],
    { ...options, queueOf: () => queue },
  );
  return Number(reply) / 1000;
}
