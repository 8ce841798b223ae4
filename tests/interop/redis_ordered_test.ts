// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
/** Kombu at an ordered queue: what it publishes comes, and what it gives back is the first of its key again. */

import { assertEquals } from "@std/assert";
import { connectTo, Raw, test } from "../support/redis.ts";
import { Hand, ORDERS, payloads, publish } from "../support/redis_ordered.ts";
import { until } from "../brokers/server.ts";
import { Peer } from "./peer.ts";
import { providePython } from "./python.ts";

const python = await providePython();

test(
  "Kombu publishes to an ordered queue, alone or in a pipeline, and gets nothing out of it but what is not filed yet",
  async (server) => {
    if ("reason" in python) throw new Error(python.reason);
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    await publish(connection, ["a1"]);
    await using peer = new Peer(python.python, server.url);
    const queue = { name: ORDERS.name };
    const send = (body: string, headers = {}, batch = false) =>
      peer.publish({ body, routing_key: ORDERS.name, headers, batch });
    await send("a2", { "x-key": "a" });
    await send("-1", {}, true);
    await send("ä1", { "x-key": "ä" }, true);
    assertEquals(await raw.number("LLEN", ORDERS.name), 3);
    await publish(connection, ["a3", "ä2"]);
    assertEquals(await raw.number("LLEN", ORDERS.name), 0);
    assertEquals(await peer.get(queue), undefined);
    await using hand = new Hand(server.url);
    const first = await hand.take(3);
    assertEquals(payloads(first), ["a1", "-1", "ä1"]);
    for (const each of first) await each.ack();
    assertEquals(
      (await hand.finish(3)).toSorted(),
      ["a2", "a3", "ä2"],
    );
  },
  { reason: "reason" in python ? python.reason : undefined },
);

test(
  "a message that Kombu takes from a process of ours after its visibility timeout comes before those that wait for it",
  async (server) => {
    if ("reason" in python) throw new Error(python.reason);
    await using raw = new Raw(server.port);
    await using connection = connectTo(server.url);
    await publish(connection, ["a1", "a2", "b1"]);
    await using hand = new Hand(server.url);
    const held = await hand.take(2);
    assertEquals(payloads(held), ["a1", "b1"]);
    // As if they had been held for long.
    const [field = ""] = await raw.texts("HKEYS", "unacked");
    await raw.send("ZADD", "unacked_index", 1, field);
    await using peer = new Peer(python.python, server.url, {
      visibility_timeout: 3600,
      unacked_restore_throttle: 1,
      unacked_restore_interval: 1,
    });
    await peer.consume("other", [{ name: "other" }]);
    await until("Kombu's sweep", 60_000, async () => {
      await peer.quiet("other");
      return await raw.number("HEXISTS", "unacked", field) === 0;
    });
    const again = await hand.next();
    assertEquals(again.deliveryInfo.redelivered, true);
    assertEquals(["a1", "b1"].includes(again.payload), true);
    for (const each of held) {
      if (each.payload !== again.payload) await each.ack();
    }
    await again.ack();
    assertEquals(await hand.finish(1), ["a2"]);
  },
  { reason: "reason" in python ? python.reason : undefined },
);
