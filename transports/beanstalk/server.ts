import type { CallOptions } from "../../model/call_options.ts";
import { ConnectionError } from "../../model/errors.ts";
import { Statistics } from "./body.ts";
import { Link, type LinkContext } from "./link.ts";

/** The server's own statistics, as the first socket read them. */
export interface Server {
  /** The socket. */
  readonly link: Link;
  /** The largest job, bytes. */
  readonly itemBytes: number;
  /** Its version. */
  readonly version: string | undefined;
  /** Whether a restart keeps what is queued. */
  readonly persistent: boolean;
}

/**
 * Opens a connection's first socket, and asks for the server's statistics.
 *
 * @param context The context of the connection.
 * @param options The call's limits.
 * @returns The server's statistics.
 * @throws {ConnectionError} If there is nobody, or nobody who speaks the protocol.
 * @throws {TimeoutError} If nobody answers by the deadline.
 */
export async function greet(
  context: LinkContext,
  options: CallOptions,
): Promise<Server> {
  const { signal } = options;
  const deadline = options.deadline ??
    context.clock.now() + context.operationTimeout;
  const link = await Link.open(context, { signal, deadline });
  try {
    const [reply] = await context.lifeline.limits.wait(
      link.call({ text: "stats\r\n", count: 1 }, {
        deadline,
        action: `connect to "${context.broker}"`,
      }),
      { signal },
      () => new Error(),
    );
    // A server of another kind answers too: `-ERR`, or `HTTP/1.1`.
    if (reply !== undefined && !/^[A-Z_]+$/.test(reply.word)) {
      throw new ConnectionError(
        `Cannot connect to "${context.broker}": it answers, but not as beanstalkd does`,
        { code: "connection-failed", outcome: "not-sent" },
      );
    }
    const statistics = new Statistics(reply?.body);
    if (context.hasOthers && statistics.text("draining") === "true") {
      throw new ConnectionError(
        `Cannot connect to "${context.broker}": it is drained before it is stopped, and there are others`,
        { code: "connection-failed", outcome: "not-sent" },
      );
    }
    return {
      link,
      version: statistics.text("version"),
      itemBytes: statistics.number("max-job-size") || 65_535,
      // Without a binlog a restart loses everything.
      persistent: statistics.number("binlog-current-index") > 0,
    };
  } catch (error) {
    link.destroy(new Error("given up"));
    throw error;
  }
}
