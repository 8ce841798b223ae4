import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, createConnection } from "@dashi/mq";

Deno.test("a server of another kind is known by the first attempt, and not dialled again", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr as Deno.NetAddr;
  const answer = new TextEncoder().encode(
    "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
  );
  const serving = (async () => {
    for await (const socket of listener) {
      await socket.read(new Uint8Array(1000)).catch(() => null);
      await socket.write(answer).catch(() => {});
      socket.close();
    }
  })();
  try {
    await using connection = createConnection(`beanstalk://127.0.0.1:${port}`, {
      connectTimeout: 10_000,
      onUnhandled: () => {},
    });
    const error = await assertRejects(
      () => connection.connect(),
      ConnectionError,
      "speaks HTTP",
    );
    assertEquals(error.retryable, false);
  } finally {
    listener.close();
    await serving;
  }
});
