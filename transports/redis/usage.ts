import type { CallOptions } from "../../model/call_options.ts";
import type { Core } from "./core.ts";

/** So many queues are noted in one script. */
const AT_ONCE = 100;

/**
 * Notes that queues are used: those with `x-expires` go when they are not.
 *
 * @param core The connection.
 * @param queues The names of the queues.
 * @param options The call's limits.
 */
export async function useQueues(
  core: Core,
  queues: Iterable<string>,
  options?: CallOptions,
): Promise<void> {
  const { topology } = core.mirror;
  const timed: (string | number)[] = [];
  for (const queue of queues) {
    const expires = topology.queue(queue)?.traits.expires;
    if (expires !== undefined) timed.push(queue, expires);
  }
  for (let i = 0; i < timed.length; i += 2 * AT_ONCE) {
    const action = "note that queues are used";
    const some = timed.slice(i, i + 2 * AT_ONCE);
    await core.run("use", action, some, options);
  }
}

/**
 * Notes that what an owner consumes is used.
 *
 * @param core The connection.
 * @param owner The owner.
 * @param options The call's limits.
 */
export async function useConsumed(
  core: Core,
  owner: string,
  options?: CallOptions,
): Promise<void> {
  const { topology } = core.mirror;
  const consumed = [...topology.queuesOf(owner)].filter((queue) =>
    topology.queue(queue)?.consumers.some((each) => each.owner === owner)
  );
  await useQueues(core, consumed, options);
}
