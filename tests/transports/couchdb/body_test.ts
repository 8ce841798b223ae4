import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { assertEquals, assertRejects } from "@std/assert";
import { readBody, readText } from "../../../transports/couchdb/body.ts";

/** Collects garbage. */
function collect(): void {
  setFlagsFromString("--expose-gc");
  runInNewContext("gc()");
}

Deno.test("readBody() of a feed ends when it is aborted, after its response was collected too", async () => {
  const pauses: Promise<void>[] = [];
  async function* lines() {
    for (let i = 0; i < 50; i++) {
      yield new TextEncoder().encode("line\n");
      const pause = new Promise<void>((resolve) => setTimeout(resolve, 20));
      pauses.push(pause);
      await pause;
    }
  }
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    () => new Response(ReadableStream.from(lines())),
  );
  const { promise: began, resolve: begin } = Promise.withResolvers<void>();
  const controller = new AbortController();
  const { signal } = controller;
  let seen = 0;
  const listen = async () => {
    const url = `http://127.0.0.1:${server.addr.port}/`;
    await readBody((await fetch(url, { signal })).body, signal, () => {
      if (++seen === 2) begin();
    });
  };
  const listening = assertRejects(listen);
  await began;
  collect();
  const before = seen;
  controller.abort();
  assertEquals(await listening, signal.reason);
  assertEquals(seen, before);
  await server.shutdown();
  await Promise.all(pauses);
});

Deno.test("readText() joins what comes, whole characters alone", async () => {
  const bytes = new TextEncoder().encode("Grüße, 世界");
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      for (const byte of bytes) controller.enqueue(Uint8Array.of(byte));
      controller.close();
    },
  });
  const { signal } = new AbortController();
  assertEquals(await readText(body, signal), "Grüße, 世界");
  assertEquals(await readText(null, signal), "");
});

Deno.test("readText() of an answer whose request was aborted already rejects with its reason", async () => {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    cancel: () => void (cancelled = true),
  });
  const reason = new Error("enough");
  const error = await assertRejects(() =>
    readText(body, AbortSignal.abort(reason))
  );
  assertEquals([error, cancelled], [reason, true]);
});
