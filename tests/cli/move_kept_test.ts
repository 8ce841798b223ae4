import { assertEquals, assertMatch } from "@std/assert";
import { Raw, test } from "../support/redis.ts";
import { unique } from "../conformance/support.ts";
import { dashiHere } from "./moving.ts";

/** A message as Kombu writes it, with something of its own. */
const envelope = (properties: object) =>
  JSON.stringify({
    body: btoa("1"),
    "content-encoding": "utf-8",
    "content-type": "application/json",
    headers: {},
    properties: {
      body_encoding: "base64",
      delivery_info: { exchange: "", routing_key: "kept" },
      delivery_mode: 2,
      delivery_tag: crypto.randomUUID(),
      priority: 0,
      ...properties,
    },
  });

/** What other programs can write, and no broker of ours takes. */
const UNWRITABLE = [
  { message_id: "\ud800" },
  { correlation_id: "half \udc00" },
  { priority: 300 },
  { expiration: "-5000" },
  { timestamp: -5 },
];

test("dashi move leaves messages of other programs that no broker takes, and moves the others", async (server) => {
  await using raw = new Raw(server.port);
  for (const each of UNWRITABLE) {
    await raw.send("LPUSH", "kept", envelope(each));
    await raw.send("LPUSH", "kept", envelope({}));
  }
  const { code, rows, err } = await dashiHere(["move", "kept"], {
    from: server.url,
    to: `memory://${unique("kept")}`,
  });
  const { moved, kept, ready } = rows.at(-1);
  assertEquals([code, moved, kept, ready], [1, 5, 5, 5], err);
  assertMatch(err, /stays: .*half of a surrogate pair has no form in UTF-8/);
});
