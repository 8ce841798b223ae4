import type { CallOptions } from "../../model/call_options.ts";
import type { Context } from "./context.ts";
import { hiddenNames } from "./documents.ts";

const ACTION = "look for a queue";

/** So many bindings are looked at for a name that may have been meant. */
const MAX_ROUTES = 1000;

/**
 * Names the queues that Kombu's collection of bindings has.
 *
 * @returns The names, of some where there are many.
 */
export async function boundQueues(
  context: Context,
  options?: CallOptions,
): Promise<readonly string[]> {
  const { client, settings: { names } } = context;
  const routes = await context.call(
    ACTION,
    options,
    () =>
      client.find(names.routing, {}, {
        limit: MAX_ROUTES,
        projection: { queue: 1 },
      }),
  );
  return routes.map(({ queue }) => String(queue));
}

/**
 * Says whether others use a queue that nobody of ours declared and nothing is bound to.
 *
 * @returns Whether messages are in it, were taken from it or wait for their time, or it is listed.
 */
export async function isUsed(
  context: Context,
  queue: string,
  options?: CallOptions,
): Promise<boolean> {
  const { client, settings: { names } } = context;
  const filter = { queue: { $in: [queue, ...hiddenNames(queue)] } };
  const one = { limit: 1, projection: { _id: 1 } } as const;
  const traces = await context.call(
    ACTION,
    options,
    () => client.find(names.messages, filter, one),
  );
  if (traces.length > 0) return true;
  // Kombu lists its queues where its option `ttl` is on.
  const listed = await context.call(
    `look for queue "${queue}"`,
    options,
    () => client.find(names.queues, { _id: queue }, one),
  );
  return listed.length > 0;
}
