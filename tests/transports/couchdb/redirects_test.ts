import { assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, createConnection } from "@dashi/mq";

Deno.test("a server that redirects is not followed, for the password is not for another", async () => {
  const asked: string[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    (request) => {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      return pathname === "/elsewhere"
        ? Response.json({ couchdb: "Welcome" })
        : new Response(null, {
          status: 302,
          headers: { location: "/elsewhere" },
        });
    },
  );
  await using connection = createConnection(
    `couchdb://user:secret@127.0.0.1:${server.addr.port}/db`,
    { connectTimeout: 5000, onUnhandled() {} },
  );
  const error = await assertRejects(
    () => connection.connect(),
    ConnectionError,
    "redirects to another URL",
  );
  assertEquals(error.message.includes("secret"), false);
  assertEquals(asked.includes("/elsewhere"), false);
});
