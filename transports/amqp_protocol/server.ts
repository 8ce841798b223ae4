import type { ServerInfo } from "../server_info.ts";
import { fromFields } from "./fields.ts";

/**
 * Reads what a broker says of itself when it is connected to.
 *
 * @param properties Its `server-properties`, as a client has them.
 * @returns Its product and its version.
 */
export function serverIn(
  properties: object,
): Pick<ServerInfo, "product" | "version"> {
  const { product, version } = fromFields(properties);
  return {
    product: typeof product === "string" ? product : undefined,
    version: typeof version === "string" ? version : undefined,
  };
}
