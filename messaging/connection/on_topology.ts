import type { Channel } from "../../transports/transport.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";

/**
 * Runs a call that looks at the broker's tables, or changes them, in its turn.
 *
 * @param session The session.
 * @param options How long it may take.
 * @param action The action on the channel, within the call's limits.
 * @returns The action's result.
 */
export async function onTopology<R>(
  session: Session,
  options: OperationOptions | undefined,
  action: (channel: Channel, call: Call) => Promise<R>,
): Promise<R> {
  const call = session.call(options);
  const { topology } = await session.link(call);
  return await topology.run(call, (channel) => action(channel, call));
}
