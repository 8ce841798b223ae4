import { assert, assertEquals } from "@std/assert";
import { inspect } from "node:util";
import { createConnection, type Message, Queue } from "@dashi/mq";

const FIRST =
  'Message "order-7" of queue "shown" (exchange "", routing key "shown", attempt 1)';

/** Sends a message, and looks at it as it is delivered. */
async function deliver<T>(
  payload: T,
  options: Readonly<Record<string, unknown>>,
  look: (message: Message<T>) => void | Promise<void>,
): Promise<void> {
  const url = `memory://user:secret@shown-${crypto.randomUUID()}`;
  await using connection = createConnection(url);
  const queue = new Queue<T>("shown");
  await connection.send(queue, payload, { messageId: "order-7", ...options });
  const message = await connection.queue<T>("shown").get();
  assert(message !== undefined);
  await look(message);
}

Deno.test("a message that is logged shows its id, its queue, its headers and its payload", async () => {
  const headers = { source: "import" };
  await deliver({ id: 7, lines: ["tea"] }, { headers }, (message) => {
    const text =
      `${FIRST}\n  headers: { source: "import" }\n  payload: { id: 7, lines: [ "tea" ] }`;
    assertEquals(Deno.inspect(message), text);
    assertEquals(
      inspect(message),
      text.replaceAll('"import"', "'import'")
        .replaceAll('"tea"', "'tea'"),
    );
    assertEquals(Deno.inspect(message, { colors: true }), text);
    for (const shown of [[message], { message }]) {
      assert(Deno.inspect(shown).includes("lines:"), Deno.inspect(shown));
      assert(!Deno.inspect(shown, { depth: 20 }).includes("secret"));
      assert(
        !inspect(shown, { depth: 20, showHidden: true }).includes("secret"),
      );
    }
  });
});

Deno.test("a settled message says so", async () => {
  await deliver("text", {}, async (message) => {
    await message.ack();
    assertEquals(
      Deno.inspect(message),
      `${FIRST.slice(0, -1)}, settled)\n  payload: "text"`,
    );
  });
});

Deno.test("a long payload is cut, and one of several lines is indented", async () => {
  // With its quotes one character too many, and none.
  await deliver("x".repeat(499), {}, (message) => {
    assert(Deno.inspect(message).endsWith("x… 1 more characters"));
  });
  await deliver("x".repeat(498), {}, (message) => {
    assert(Deno.inspect(message).endsWith('x"'));
  });
  await deliver("x".repeat(10_000), {}, (message) => {
    const text = Deno.inspect(message);
    assert(text.length < 700, text);
    assert(/x… [\d]+ more characters$/.test(text), text);
  });
  const rows = Array.from({ length: 9 }, (_, id) => ({ id, name: "a name" }));
  await deliver(rows, {}, (message) => {
    const [, ...lines] = Deno.inspect(message).split("\n");
    assert(lines.length > 3, lines.join());
    assert(lines.every((line) => line.startsWith("  ")), lines.join());
  });
});

Deno.test("a message that cannot be read is shown with the reason", async () => {
  const body = new TextEncoder().encode("{no");
  await deliver(body, { contentType: "application/json" }, (message) => {
    const [first, second] = Deno.inspect(message).split("\n");
    assertEquals(first, FIRST);
    assert(second?.startsWith("  payload: (DecodeError: "), second);
    assertEquals(message.settled, false);
  });
});

/** Each member of a message: one that is new is missing here, for the compiler. */
const MEMBERS: Readonly<Record<keyof Message<unknown>, true>> = {
  payload: true,
  headers: true,
  properties: true,
  key: true,
  contentType: true,
  body: true,
  deliveryInfo: true,
  deliveryCount: true,
  attempt: true,
  deaths: true,
  settled: true,
  signal: true,
  ack: true,
  reject: true,
  requeue: true,
};

Deno.test("docs/consuming.md lists the members of a message", async () => {
  const page = new URL("../../../docs/consuming.md", import.meta.url);
  const text = await Deno.readTextFile(page);
  const [, part = ""] = text.split(/^## What a message has\n/m);
  const rows = [...part.split(/^## /m)[0]?.matchAll(/^\| `(\w+)/gm) ?? []];
  assertEquals(rows.map(([, name]) => name), Object.keys(MEMBERS));
});
