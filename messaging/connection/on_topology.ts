import type { Channel } from "../../transports/transport.ts";
import type { Call, OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";

/**
 * Runs a call that looks at the broker's tables, or changes them, in its turn.
 *
 * @param session The session.
 * @param options How long it may take.
 * @param action What to do on the channel for that, within the call's limits.
 * @returns What the action resolves to.
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
