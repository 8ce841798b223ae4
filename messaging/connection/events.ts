import type { Mailbox } from "../../async/mailbox.ts";
import type { ConnectionEvent } from "./connection_state.ts";
import { checkLimits, type OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";

/**
 * Makes what `connection.events()` returns.
 *
 * @param session The session to watch.
 * @param options The limits that end it: a signal, or a timeout in ms.
 * @returns The events from the first `next()` on.
 */
export function watch(
  session: Session,
  options: OperationOptions,
): AsyncIterable<ConnectionEvent> {
  checkLimits(options);
  return {
    [Symbol.asyncIterator]: () => iterate(session, session.watch(), options),
  };
}

async function* iterate(
  session: Session,
  mailbox: Mailbox<ConnectionEvent>,
  { signal, timeout }: OperationOptions,
): AsyncGenerator<ConnectionEvent, undefined> {
  const { clock, limits } = session;
  const unwatch = limits.watch(
    {
      signal,
      deadline: timeout === undefined ? undefined : clock.now() + timeout,
    },
    (reason) => {
      if (reason === undefined) mailbox.end();
      else mailbox.fail(reason.aborted);
    },
  );
  try {
    signal?.throwIfAborted();
    for (;;) {
      const event = await mailbox.next();
      if (event === undefined) return;
      yield event;
    }
  } finally {
    unwatch();
    session.watchers.remove(mailbox);
  }
}
