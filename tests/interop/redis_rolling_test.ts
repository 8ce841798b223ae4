// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
/** Kombu, 0.1.0 and this version on one fanout exchange. */

import { assertEquals } from "@std/assert";
import { Raw, test } from "../support/redis.ts";
import {
  type Line,
  Predecessor,
  type Version,
  whyNoPredecessor,
} from "../support/rolling.ts";
import { Peer, type Seen } from "./peer.ts";
import { providePython } from "./python.ts";

const COUNT = 20;

const missing = whyNoPredecessor();
const python = missing === undefined
  ? await providePython()
  : { reason: missing };

test(
  "Kombu, 0.1.0 and this version publish to one fanout exchange, and each queue gets each message once",
  async (server) => {
    if ("reason" in python) throw new Error(python.reason);
    await using raw = new Raw(server.port);
    const versions = await Predecessor.unpack();
    await using peer = new Peer(python.python, server.url);
    await using processes = new AsyncDisposableStack();
    const exchange = { name: "news", type: "fanout" } as const;
    const start = (
      version: Version,
      mode: "publish" | "consume",
      queue: string,
    ) =>
      processes.use(versions.start(version, {
        ...{ url: server.url, exchange: "news", type: "fanout" } as const,
        ...{ mode, queue },
      }));
    // Both share the third queue, as they do in the middle of an upgrade.
    const consumers = [
      { queue: "old", process: start("0.1.0", "consume", "old") },
      { queue: "new", process: start("this one", "consume", "new") },
      { queue: "shared", process: start("0.1.0", "consume", "shared") },
      { queue: "shared", process: start("this one", "consume", "shared") },
    ];
    const theirs = { name: "theirs", bindings: [{ exchange }] };
    await peer.consume("theirs", [theirs]);
    await Promise.all(consumers.map(({ process }) => process.ready()));
    // All listen that do: the exchange's channel has a pattern with a key, and one without.
    while (await raw.number("PUBSUB", "NUMPAT") < 2) await peer.quiet("theirs");
    const publishers = (["0.1.0", "this one"] as const).map((version) =>
      start(version, "publish", version === "0.1.0" ? "old" : "new")
    );
    await Promise.all(publishers.map(async (publisher) => {
      await publisher.until((lines) => confirmed(lines).length >= COUNT);
      await publisher.stop();
    }));
    await peer.publish({ times: COUNT, exchange });
    const all = [
      ...publishers.flatMap(({ lines }) => confirmed(lines)),
      ...Array.from({ length: COUNT }, (_, i) => String(i)),
    ].toSorted();
    const got = (queue: string) =>
      consumers.filter((each) => each.queue === queue)
        .flatMap(({ process }) => process.lines)
        .filter((line) => line.got !== undefined)
        .map((line) => String(line.got)).toSorted();
    const seen = await peer.take("theirs", all.length);
    for (const { queue, process } of consumers) {
      if (queue === "shared") continue;
      await process.until(() => got(queue).length >= all.length);
    }
    await Promise.race(
      consumers.filter(({ queue }) => queue === "shared").map(({ process }) =>
        process.until(() => got("shared").length >= all.length)
      ),
    );
    for (const { process } of consumers) await process.stop();
    assertEquals(await peer.quiet("theirs"), 0);
    for (const queue of ["old", "new", "shared"]) {
      assertEquals(got(queue), all, queue);
      assertEquals(await raw.number("LLEN", queue), 0);
    }
    assertEquals(seen.map(textOf).toSorted(), all, "Kombu's");
  },
  {
    reason: "reason" in python ? python.reason : undefined,
    patience: 180_000,
  },
);

function confirmed(lines: readonly Line[]): string[] {
  return lines.map(({ confirmed }) => confirmed)
    .filter((text) => text !== undefined);
}

/** A payload as the peer shows it: numbers are objects. */
function textOf({ payload }: Seen): string {
  return typeof payload === "string" ? payload : Object(payload).$int;
}
