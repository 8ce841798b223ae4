/** The slots of a cluster: which key is in which, and which node has it. */

import type { CallOptions } from "../../../model/call_options.ts";
import {
  ConnectionError,
  PreconditionFailedError,
} from "../../../model/errors.ts";
import type { RedisClient } from "../client.ts";
import { decode, listOf } from "../reply.ts";

/** A node's address. */
export interface NodeAddress {
  readonly hostname: string;
  readonly port: number;
}

/** Slots that one primary has. */
export interface SlotRange {
  readonly first: number;
  readonly last: number;
  readonly node: NodeAddress;
}

/** How many slots a cluster has. */
export const SLOTS = 16_384;

/** Works out the slot of a key: CRC-16 (XMODEM) of its hash tag, or of all of it. */
export function slotOf(key: string): number {
  const open = key.indexOf("{");
  const close = open < 0 ? -1 : key.indexOf("}", open + 1);
  const tag = close > open + 1 ? key.slice(open + 1, close) : key;
  let crc = 0;
  for (const byte of ENCODER.encode(tag)) {
    crc ^= byte << 8;
    for (let i = 0; i < 8; i++) {
      crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    }
  }
  return (crc & 0xffff) % SLOTS;
}

const ENCODER = new TextEncoder();

/**
 * Asks a node which primaries have which slots.
 *
 * @param hostname The name by which it was dialled: a node may not know its own.
 * @throws {PreconditionFailedError} If it is no node of a cluster.
 * @throws {ConnectionError} If the cluster has no slots yet.
 */
export async function readSlots(
  client: Pick<RedisClient, "ask">,
  hostname: string,
  limits: CallOptions,
): Promise<readonly SlotRange[]> {
  const action = "ask for the slots of the cluster";
  const reply = await client.ask(action, ["CLUSTER", "SLOTS"], limits);
  if (reply === undefined) {
    throw new PreconditionFailedError(
      `Cannot ${action}: the server is no node of a cluster, or its user may not ask (CLUSTER SLOTS); leave out cluster=1 where it is a single server`,
      { outcome: "not-sent" },
    );
  }
  const ranges = listOf(reply).map((each) => {
    const [first, last, primary] = listOf(each);
    const [host, port] = listOf(primary ?? []);
    const name = host === null ? "" : decode(host);
    return {
      first: Number(first),
      last: Number(last),
      node: {
        hostname: name === "" || name === "?" ? hostname : name,
        port: Number(port),
      },
    };
  });
  if (ranges.length > 0) return ranges;
  throw new ConnectionError(
    `Cannot ${action}: no node has any; the cluster is not set up yet`,
    { code: "connection-failed", outcome: "not-sent" },
  );
}
