import { assert, assertEquals } from "@std/assert";
import {
  AuthenticationError,
  type ConnectionEvent,
  createConnection,
  Queue,
} from "@dashi/mq";
import { isInstalled, startCouchdb } from "../brokers/couchdb.ts";
import { arrives, until } from "../conformance/support.ts";
import { ALL, LATER } from "../support/targets.ts";

const why = !ALL
  ? LATER
  : isInstalled()
  ? undefined
  : "CouchDB's stand-in is not installed";

/** So much a login takes at most that has to be found right again, ms. */
const PATIENCE = 60_000;

Deno.test({
  name: `couchdb: a password that changes while a consumer runs (row 3.1)${
    why === undefined ? "" : ` (${why})`
  }`,
  ignore: why !== undefined,
  sanitizeOps: false,
  sanitizeResources: false,
  fn: async () => {
    const server = await startCouchdb({ keepsData: false });
    let { authorization } = server;
    const setPassword = async (password: string) => {
      const answer = await fetch(`${server.httpUrl}/_config/admins/dashi`, {
        method: "PUT",
        headers: { authorization },
        body: JSON.stringify(password),
      });
      assert(answer.ok, await answer.text());
      authorization = `Basic ${btoa(`dashi:${password}`)}`;
    };
    const connection = createConnection(server.url, {
      reconnect: { initialDelay: 20, maxDelay: 200 },
    });
    const events: ConnectionEvent[] = [];
    const told = (async () => {
      for await (const event of connection.events()) events.push(event);
    })();
    try {
      const queue = new Queue<number>(crypto.randomUUID());
      const seen = new Set<number>();
      await connection.send(queue, 1);
      const running = connection.consumer(queue).run(({ payload }) => {
        seen.add(payload);
      });
      await until(() => seen.has(1), "the first");
      await setPassword("other");
      const sent = connection.send(queue, 2, { timeout: PATIENCE });
      const refusals = () =>
        events.flatMap((event) =>
          event.type === "state" && event.state.type === "waiting" &&
            event.state.error instanceof AuthenticationError
            ? [event.state.delay]
            : []
        );
      await until(() => refusals().length >= 4, "four refusals");
      assert(Math.max(...refusals()) > 20, `${refusals()}`);
      assertEquals(seen.size, 1);
      await setPassword("secret");
      await arrives(sent, "the publish", PATIENCE);
      await until(() => seen.has(2), "the second");
      await connection.close();
      await running;
      await told;
    } finally {
      await connection.close();
      await server.stop();
    }
  },
});
