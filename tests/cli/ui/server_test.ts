import { assert, assertEquals, assertMatch } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { get } from "node:http";
import { run } from "@dashi/mq/cli";
import { serve } from "../../../cli/ui/server_client.ts";
import { freePort } from "../../brokers/ports.ts";
import { until } from "../../brokers/server.ts";
import { askUi, ownHeaders, type ServedUi, startUi } from "../../support/ui.ts";

const amqp = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";
const SECRET = "hunter2-and-more";

Deno.test("dashi ui answers those who have its link alone, and says no password", async () => {
  const urls = [
    "memory://ui",
    `redis://me:${SECRET}@127.0.0.1:${freePort()}/0`,
  ];
  await using ui = await startUi(urls);
  const { port, token } = ui;
  const own = ownHeaders(ui);
  const seen: string[] = [];
  const ask: typeof askUi = async (...given) => {
    const answer = await askUi(...given);
    seen.push(answer.text, JSON.stringify(answer.headers));
    return answer;
  };

  const bare = await ask(port, "/");
  assertEquals(bare.status, 401);
  assertMatch(bare.text, /Open the link that dashi ui has printed/);
  for (const path of ["/events", "/main.js", "/purge", "/nothing"]) {
    assertEquals((await ask(port, path)).status, 401, path);
  }
  const elsewhere = { ...own, host: `evil.example:${port}` };
  assertEquals((await ask(port, "/", { headers: elsewhere })).status, 403);
  const login = await ask(port, `/?token=${token}`);
  assertEquals(login.status, 200);
  assertMatch(
    String(login.headers["set-cookie"]),
    new RegExp(
      `^dashi-ui-${port}=${token}; HttpOnly; SameSite=Strict; Path=/$`,
    ),
  );

  const page = await ask(port, "/", { headers: own });
  assertEquals(page.status, 200);
  assertMatch(page.text, /<title>Dashi<\/title>/);
  assert(!/<script(?![^>]* src=)|<style| style=| on\w+=/.test(page.text));
  const policy = String(page.headers["content-security-policy"]);
  assertMatch(policy, /default-src 'none'; script-src 'self';/);
  assert(!policy.includes("unsafe"));
  assertEquals(page.headers["cache-control"], "no-store");
  const scripts = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)];
  assert(scripts.length >= 4);
  for (const [, path = ""] of scripts) {
    assertEquals((await ask(port, `/${path}`, { headers: own })).status, 200);
  }
  assertEquals(
    (await ask(port, "/uPlot.esm.js", { headers: own })).status,
    200,
  );
  for (const path of ["/../ui.ts", "/%2e%2e/ui.ts", "/constructor"]) {
    const { status } = await ask(port, path, { headers: own });
    assertEquals(status, 404, path);
  }

  const body = JSON.stringify({ broker: 0, queue: "q", confirm: "q" });
  const post = { method: "POST", body };
  const { origin: _, ...withoutOrigin } = own;
  const refused = [
    withoutOrigin,
    { ...own, origin: "http://evil.example" },
    { ...own, origin: `http://127.0.0.1:${port + 1}` },
    { ...own, "sec-fetch-site": "same-site" },
  ];
  for (const headers of refused) {
    assertEquals((await ask(port, "/purge", { ...post, headers })).status, 403);
  }
  for (
    const [text, status, words] of [
      ["nothing", 400, /object of JSON/],
      ['{"broker":7,"queue":"q"}', 400, /no such broker/],
      ['{"broker":0}', 400, /no queue/],
      ['{"broker":0,"queue":"q"}', 400, /type the queue's name/],
      [body, 502, /"q".*no such queue/],
    ] as const
  ) {
    const answer = await ask(port, "/purge", {
      ...post,
      body: text,
      headers: own,
    });
    assertEquals(answer.status, status);
    assertMatch(JSON.parse(answer.text).error, words);
  }
  const large = "x".repeat(9 * 1024 * 1024);
  const tooLarge = await ask(port, "/publish", {
    method: "POST",
    body: large,
    headers: own,
  }).catch(() => undefined); // it may hang up before it has read all
  assert(tooLarge === undefined || tooLarge.status === 413);

  await until("both brokers", 60_000, async () => {
    const { text } = await ask(port, "/events", { headers: own });
    const data = JSON.parse(/data: (.*)/.exec(text)?.[1] ?? "{}");
    const [up, down] = data.brokers;
    if (up.state !== "up" || down.state !== "down") return false;
    assertMatch(down.error, /127\.0\.0\.1/);
    assertMatch(down.advice, /broker running/);
    return true;
  });

  const { code, written } = await ui.end();
  assertEquals(code, 0);
  assert(seen.length > 20);
  for (const each of [...seen, written]) assert(!each.includes(SECRET));
  for (const each of seen.filter((text) => !text.includes("set-cookie"))) {
    assert(!each.includes(token));
  }
});

Deno.test("dashi ui says that its port is taken, and what to do", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  let told = "";
  const code = await run({
    args: ["ui", "memory://taken", "--port", String(port)],
    columns: 80,
    isPiped: false,
    variable: () => undefined,
    write: () => Promise.resolve(),
    tell: (line) => void (told += line),
    read: () => Promise.reject(new Error("there is no file")),
    async *input() {},
  });
  assertEquals(code, 1);
  assertMatch(told, new RegExp(`127\\.0\\.0\\.1:${port}.*another --port`));
});

Deno.test({
  name: `dashi ui opens queues by their names on a RabbitMQ that lists nothing${
    amqp === undefined ? ` (${reason})` : ""
  }`,
  ignore: amqp === undefined,
  fn: async () => {
    await using ui = await startUi([amqp ?? ""], { interval: 0.2 });
    const headers = ownHeaders(ui);
    const isSeen = (what: RegExp) =>
      until(`${what}`, 60_000, async () => {
        const { text } = await askUi(ui.port, "/events", { headers });
        return what.test(text);
      });
    await isSeen(/"lists":false,"state":"up"/);
    const queue = `ui-${crypto.randomUUID()}`;
    const post = (path: string, more: object = {}) =>
      askUi(ui.port, path, {
        method: "POST",
        headers,
        body: JSON.stringify({ broker: 0, queue, ...more }),
      });
    for (const path of ["/open", "/messages"]) {
      const { status, text } = await post(path);
      // It is the broker that answers.
      assertEquals(status, 502);
      assertMatch(JSON.parse(text).error, /no queue|not found|no such queue/i);
    }
    await using connection = createConnection(amqp ?? "");
    await connection.declare(new Queue(queue));
    try {
      assertEquals((await post("/open")).status, 200);
      await isSeen(new RegExp(`"name":"${queue}","ready":0`));
      const published = await post("/publish", { payload: "7" });
      assertEquals(published.status, 200);
      await isSeen(new RegExp(`"name":"${queue}","ready":1`));
    } finally {
      await connection.delete(queue);
    }
    await until("a list of no queues", 60_000, async () => {
      const { text } = await askUi(ui.port, "/events", { headers });
      return text.includes('"state":"up"') && !text.includes(queue);
    });
  },
});

Deno.test("dashi ui says what is wrong with a message that is to be published, and blames no broker", async () => {
  const url = "memory://ui";
  await using ui = await startUi([url]);
  const headers = ownHeaders(ui);
  for (
    const [given, words] of [
      [{ payload: "7", delay: -1 }, /delay is a number of seconds/],
      [{ payload: "7", delay: "soon" }, /delay is a number of seconds/],
      [{ payload: "7", delay: 1e300 }, /delay/],
      [{ payload: "{" }, /payload cannot be read as JSON/],
      [{ payload: "7", headers: "[]" }, /Headers are an object/],
    ] as const
  ) {
    const body = JSON.stringify({ broker: 0, queue: "q", ...given });
    const { status, text } = await askUi(ui.port, "/publish", {
      method: "POST",
      headers,
      body,
    });
    assertEquals([status, text], [400, text]);
    assertMatch(JSON.parse(text).error, words);
  }
});

Deno.test("events that nobody listens to any more are ended, however late they began", async () => {
  const asked = Promise.withResolvers<void>();
  const left = Promise.withResolvers<void>();
  const stopped = Promise.withResolvers<void>();
  const server = await serve(0, "token", async () => {
    asked.resolve();
    await left.promise;
    return {
      status: 200,
      type: "text/event-stream",
      body: () => () => stopped.resolve(),
    };
  });
  try {
    const request = get({
      port: server.port,
      host: "127.0.0.1",
      path: "/events",
      headers: { cookie: `dashi-ui-${server.port}=token` },
    });
    const closed = new Promise((resolve) => request.once("close", resolve));
    request.on("error", () => {});
    await asked.promise;
    request.destroy();
    await closed;
    // The server hears of that before it has answered all of these.
    for (let i = 0; i < 20; i++) {
      assertEquals((await askUi(server.port, "/")).status, 401);
    }
    left.resolve();
    await stopped.promise;
  } finally {
    await server.close();
  }
});

Deno.test("dashi ui soon looks again at a broker that has not answered, and ends without waiting for it", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const place = `127.0.0.1:${listener.addr.port}`;
  const timeout = 2;
  await using ui = await startUi([`amqp://${place}//`], {
    interval: 0.2,
    timeout,
  });
  using _first = await listener.accept();
  const began = performance.now();
  using _second = await listener.accept();
  // It rests for four times as long after one that has answered.
  assert(performance.now() - began < 4 * timeout * 1000);
  await ui.end();

  await using patient = await startUi([`redis://${place}/0`], { timeout: 60 });
  using _third = await listener.accept();
  const ending = performance.now();
  assertEquals((await patient.end()).code, 0);
  assert(performance.now() - ending < 6000);
});

Deno.test("dashi ui tells a page of many queues in parts, of 500 at most", async () => {
  const folder = await Deno.makeTempDir();
  const url = `sqlite:${folder}/many.db`;
  const names = Array.from({ length: 1200 }, (_, i) => `many.${i}`);
  await using connection = createConnection(url);
  await connection.declare(names.map((name) => new Queue(name)));
  await using ui = await startUi([url]);
  let told = "";
  await until("all queues", 60_000, async () => {
    told = await eventsUntil(ui, "event: listed");
    return told.includes('"many.0"');
  });
  const parts = [...told.matchAll(/^event: rows\ndata: (.*)$/gm)]
    .map(([, data = ""]) => JSON.parse(data).rows as { name: string }[]);
  assertEquals(parts.map(({ length }) => length), [500, 500, 200]);
  const found = parts.flat().map(({ name }) => name);
  assertEquals(found.toSorted(), names.toSorted());
});

/** What a page is told, up to the first event of a kind. */
async function eventsUntil(ui: ServedUi, last: string): Promise<string> {
  const controller = new AbortController();
  const answer = await fetch(`http://127.0.0.1:${ui.port}/events`, {
    headers: ownHeaders(ui),
    signal: controller.signal,
  });
  let text = "";
  for await (
    const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []
  ) {
    text += piece;
    if (text.includes(last)) break;
  }
  controller.abort();
  return text;
}
