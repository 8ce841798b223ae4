import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError } from "../../model/errors.ts";
import { nearest } from "../../url/nearest.ts";
import type { StoreWithTopology } from "./local_topology.ts";

/** The answer to a caller that named a queue. */
export interface QueueAnswer {
  /** Whether it is there after all. */
  readonly isThere: boolean;
  /** The name that may have been meant. */
  readonly nearest: string | undefined;
}

/** So many names are compared with the one that was given. */
const MAX_NAMES = 1000;

/**
 * Looks anew for a queue that the tables did not name: another process may have declared
 * it a moment ago, and other programs use queues that nobody declares.
 *
 * @param store The store.
 * @param name The queue's name.
 * @param options The call's limits.
 * @returns Whether it is there, and if not, which name is near.
 */
export async function lookForQueue(
  store: StoreWithTopology,
  name: string,
  options?: CallOptions,
): Promise<QueueAnswer> {
  const search = await store.topology.findQueue?.(name, options);
  const { topology } = await store.topology.read(
    { type: "queue", name },
    options,
  );
  if (search?.isThere || topology.queue(name) !== undefined) {
    return { isThere: true, nearest: undefined };
  }
  const names = new Set<string>();
  for (const { declaration } of topology.queues()) {
    if (names.size === MAX_NAMES) break;
    if (!declaration.exclusive) names.add(declaration.name);
  }
  for (const each of search?.names ?? []) {
    if (names.size === MAX_NAMES) break;
    names.add(each);
  }
  return { isThere: false, nearest: nearest(name, names) };
}

/**
 * Does something with a queue; where there is none of its name, looks anew, and does it
 * again, or says which name is near and what would help.
 *
 * @param store The store.
 * @param name The queue's name.
 * @param options The call's limits.
 * @param act The action; it throws `NotFoundError` where the tables do not name the queue.
 * @returns The action's result.
 * @throws {NotFoundError} If there is no such queue.
 */
export async function withQueue<T>(
  store: StoreWithTopology,
  name: string,
  options: CallOptions | undefined,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error;
    const answer = await lookForQueue(store, name, options);
    if (answer.isThere) return await act();
    throw new NotFoundError(
      `${error.message}${
        answer.nearest === undefined
          ? "; declare it first"
          : `; did you mean "${answer.nearest}"? Else declare it first`
      }`,
      { cause: error },
    );
  }
}
