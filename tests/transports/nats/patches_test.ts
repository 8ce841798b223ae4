/**
 * What is patched of NATS' own client: if another version has changed that code, the
 * patches in `transports/nats/dial_client.ts` must be looked at before that version is taken.
 */

import * as internal from "@nats-io/transport-node/lib/nats-base-client.js";
import * as transport from "@nats-io/transport-node/lib/node_transport.js";
import { assertEquals } from "@std/assert";
import { digests } from "../../support/digests.ts";

/** The functions: those that are replaced, and those whose fields, or whose calls of them, are relied on. */
const PATCHED: Readonly<Record<string, string>> = {
  "NodeTransport.prototype.connect": "ceb74d3250d33199",
  "NodeTransport.prototype.peekInfo": "1f4b837fec319250",
  "Parser.prototype.parse": "139fd0851191338d",
  "ProtocolHandler.prototype.dial": "9d3750f6f788cfd7",
};

Deno.test("@nats-io/transport-node has not changed what is patched of it", async () => {
  const root = { ...internal, ...transport };
  assertEquals(await digests(root, Object.keys(PATCHED)), PATCHED);
});
