import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";

/** So many queues are noted in one script. */
const AT_ONCE = 100;

/** Notes that queues are used: those with `x-expires` go when they are not. */
export async function useQueues(
  context: Context,
  queues: Iterable<string>,
  options?: CallOptions,
): Promise<void> {
  const timed: (string | number)[] = [];
  for (const queue of queues) {
    const { expires } = context.mirror.traitsOf(queue);
    if (expires !== undefined) timed.push(queue, expires);
  }
  for (let i = 0; i < timed.length; i += 2 * AT_ONCE) {
    const action = "note that queues are used";
    const some = timed.slice(i, i + 2 * AT_ONCE);
    await context.run("use", action, some, options);
  }
}

/** Notes that what an owner consumes is used. */
export async function useConsumed(
  context: Context,
  owner: string,
  options?: CallOptions,
): Promise<void> {
  const { topology } = context.mirror;
  const consumed = [...topology.queuesOf(owner)].filter((queue) =>
    topology.queue(queue)?.consumers.some((each) => each.owner === owner)
  );
  await useQueues(context, consumed, options);
}
