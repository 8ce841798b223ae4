import { Batcher } from "../../async/batcher.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { notAnswered } from "../connection_errors.ts";
import type { Context } from "./context.ts";
import { replyError } from "./errors.ts";
import { decode } from "./reply.ts";

/** So many queues are counted in one script. */
const AT_ONCE = 50;

/** Counts the ready messages of queues: those that are asked for in one turn in one script. */
export class Counts {
  readonly #batcher: Batcher<string, number>;

  /** Makes one for a connection. */
  constructor(context: Context) {
    this.#batcher = new Batcher({
      limits: context.limits,
      count: AT_ONCE,
      atOnce: Infinity,
      actionOf,
      late: (queue) => notAnswered(actionOf(queue), "unknown"),
      send: async (queues, options) => {
        const action = queues.length === 1
          ? actionOf(queues[0] ?? "")
          : "count the messages of queues";
        const counts = await context.runList("count", action, queues, options);
        return queues.map((queue, i) => {
          const count = counts[i];
          return typeof count === "number"
            ? count
            : Promise.reject(replyError(actionOf(queue), decode(count)));
        });
      },
    });
  }

  /** Counts the ready messages of a queue in the server. */
  of(queue: string, options?: CallOptions): Promise<number> {
    return this.#batcher.add(queue, options);
  }
}

function actionOf(queue: string): string {
  return `count the messages of queue "${queue}"`;
}
