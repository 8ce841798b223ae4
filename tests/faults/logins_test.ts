/** Passwords that change while a consumer runs: CouchDB's and NATS' own, and for brokers whose stand-ins know no users those of a relay before them. */

import { assert, assertEquals } from "@std/assert";
import {
  AuthenticationError,
  type ConnectionEvent,
  createConnection,
  Queue,
} from "@dashi/mq";
import { isInstalled, startCouchdb } from "../brokers/couchdb.ts";
import { isInstalled as hasNats, startNats } from "../brokers/nats.ts";
import { arrives, until } from "../conformance/support.ts";
import { AwsRelay, refusal } from "../support/aws_relay.ts";
import { MongodbLogins } from "../support/mongodb_logins.ts";
import { ALL, LATER, TARGETS } from "../support/targets.ts";

/** So much a login takes at most that has to be found right again, ms. */
const PATIENCE = 60_000;

/** A broker that asks for `secret`. */
interface Guarded extends AsyncDisposable {
  readonly url: string;
  setPassword(password: string): Promise<void>;
}

/** A broker, and what is done to who is logged in. */
interface Row {
  readonly name: string;
  /** Why not. */
  readonly why: string | undefined;
  open(): Promise<Guarded>;
}

const ROWS: readonly Row[] = [
  {
    name: "couchdb: a password that changes while a consumer runs (row 3.1)",
    why: !ALL
      ? LATER
      : isInstalled()
      ? undefined
      : "CouchDB's stand-in is not installed",
    open: guardedCouchdb,
  },
  {
    name: "nats: a password that changes while a consumer runs (row 3.1)",
    why: !ALL ? LATER : hasNats() ? undefined : "NATS is not installed",
    open: guardedNats,
  },
  ...(["cut", "forget"] as const).map((then) => ({
    name:
      `mongodb: a password that changes while a consumer runs, and connections ${
        then === "cut" ? "are closed" : "are logged out"
      }, by a relay that asks for logins (row 3.1)`,
    why: targetOf("mongodb").reason,
    open: () => guardedMongodb(then),
  })),
  {
    name:
      "sqs: a key that is unknown for a while when a consumer runs, by a relay that refuses it (row 3.1)",
    why: targetOf("sqs").reason,
    open: guardedSqs,
  },
];

function targetOf(name: string): { url: string; reason: string | undefined } {
  const target = TARGETS.find((each) => each.name === name);
  return target?.url === undefined
    ? { url: "", reason: target?.reason ?? "there is no such transport" }
    : { url: target.url, reason: undefined };
}

async function guardedCouchdb(): Promise<Guarded> {
  const server = await startCouchdb({ keepsData: false });
  let { authorization } = server;
  return {
    url: server.url,
    async setPassword(password) {
      const answer = await fetch(`${server.httpUrl}/_config/admins/dashi`, {
        method: "PUT",
        headers: { authorization },
        body: JSON.stringify(password),
      });
      assert(answer.ok, await answer.text());
      authorization = `Basic ${btoa(`dashi:${password}`)}`;
    },
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

async function guardedNats(): Promise<Guarded> {
  const configOf = (password: string) =>
    `authorization { user: app, password: ${password} }`;
  const server = await startNats({ syncs: false, config: configOf("secret") });
  return {
    url: server.url.replace("://", "://app:secret@"),
    setPassword: (password) => server.reload(configOf(password)),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

function guardedMongodb(then: "cut" | "forget"): Promise<Guarded> {
  const { url } = targetOf("mongodb");
  const logins = new MongodbLogins(url, "secret");
  return Promise.resolve({
    url: logins.urlOf(url, "secret"),
    setPassword(password) {
      logins.password = password;
      if (password !== "secret") logins[then]();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => logins[Symbol.asyncDispose](),
  });
}

function guardedSqs(): Promise<Guarded> {
  const relay = new AwsRelay(targetOf("sqs").url);
  return Promise.resolve({
    url: relay.urlOf("?wait_time_seconds=1"),
    setPassword(password) {
      relay.intercept = () =>
        password === "secret"
          ? undefined
          : refusal(403, "InvalidClientTokenId");
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => relay[Symbol.asyncDispose](),
  });
}

for (const { name, why, open } of ROWS) {
  Deno.test({
    name: why === undefined ? name : `${name} (${why})`,
    ignore: why !== undefined,
    sanitizeOps: false,
    sanitizeResources: false,
    fn: () => change(open),
  });
}

async function change(open: Row["open"]): Promise<void> {
  await using server = await open();
  const connection = createConnection(server.url, {
    reconnect: { initialDelay: 20, maxDelay: 200 },
  });
  const events: ConnectionEvent[] = [];
  const told = (async () => {
    for await (const event of connection.events()) events.push(event);
  })();
  try {
    const queue = new Queue<number>(crypto.randomUUID());
    const empty = new Queue(crypto.randomUUID());
    await connection.declare(empty);
    const seen = new Set<number>();
    await connection.send(queue, 1);
    let ended: unknown = "not yet";
    const running = connection.consumer(queue).run(({ payload }) => {
      seen.add(payload);
    }).then(() => ended = "returned", (error) => ended = error);
    await until(() => seen.has(1), "the first");
    await server.setPassword("other");
    const limits = { timeout: PATIENCE };
    const gets = Promise.allSettled(
      Array.from(
        { length: 20 },
        () => connection.queue(empty.name).get(limits),
      ),
    );
    const sends = Promise.all(
      [2, 3, 4, 5].map((each) => connection.send(queue, each, limits)),
    );
    sends.catch(() => {}); // it is looked at below
    const refusals = () =>
      events.flatMap((event) =>
        event.type === "state" && event.state.type === "waiting" &&
          event.state.error instanceof AuthenticationError
          ? [event.state.delay]
          : []
      );
    await until(
      () => refusals().length >= 4,
      () => `four refusals; ${Deno.inspect([ended, events])}`,
    );
    assert(Math.max(...refusals()) > 20, `${refusals()}`);
    await server.setPassword("secret");
    for (const each of await arrives(gets, "the gets", PATIENCE)) {
      if (each.status === "fulfilled") continue;
      assertEquals(each.reason.code, "connection-lost");
    }
    await arrives(sends, "the publishes", PATIENCE);
    await until(() => seen.size === 5, "the others");
    assertEquals(ended, "not yet");
    await connection.close();
    await running;
    assertEquals(ended, "returned");
    await told;
  } finally {
    await connection.close();
  }
}
