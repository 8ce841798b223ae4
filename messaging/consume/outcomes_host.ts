import { secretsOf } from "../connection/dialling.ts";
import type { OutcomesHost } from "./outcomes.ts";
import type { RunOptions } from "./run_options.ts";
import type { Session } from "../connection/session.ts";
import { Teller } from "./teller.ts";

/**
 * Makes what the outcomes of a consumer's messages need.
 *
 * @typeParam T The type of its messages' `payload`.
 * @param session The session.
 * @param onError The listener for errors, if there is one.
 * @param note Keeps the last error.
 * @returns The host.
 */
export function outcomesHost<T>(
  session: Session,
  onError: RunOptions<T>["onError"],
  note: (error: Error) => void,
): OutcomesHost<T> {
  const { clock, random, endpoint } = session;
  return {
    clock,
    random,
    patience: endpoint.operationTimeout,
    teller: new Teller(
      (event, heard) => session.emit(event, heard),
      onError,
      note,
    ),
    delayStep: () => session.open?.connection.delayStep ?? 1,
    secrets: () => secretsOf(session.endpoint),
  };
}
