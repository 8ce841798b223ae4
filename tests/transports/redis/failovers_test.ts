/** Redis under load whose master changes, and whose password does, twice each. */

import { assert, assertEquals } from "@std/assert";
import { type Connection, type Consumer, Queue } from "@dashi/mq";
import { MASTER, startSentinels } from "../../brokers/redis_sentinel.ts";
import { until } from "../../brokers/server.ts";
import {
  connectTo,
  nextLoss,
  Raw,
  test,
  testAlone,
} from "../../support/redis.ts";

const QUEUE = new Queue("flow");

/** Publishes one number after the other, and notes which were confirmed, and when. */
class Publisher {
  readonly confirmed = new Map<number, number>();
  failed = 0;
  #next = 0;
  #stopped = false;
  readonly done: Promise<void>;

  constructor(connection: Connection) {
    const producer = connection.producer<number>({
      declare: [QUEUE],
      maxInFlight: 20,
    });
    const publish = async () => {
      while (!this.#stopped) {
        const number = this.#next++;
        try {
          await producer.publish(number, {
            routingKey: QUEUE.name,
            ...(number % 7 === 0 ? { delay: 300 } : {}),
          });
          this.confirmed.set(number, performance.now());
        } catch {
          this.failed++;
        }
      }
    };
    this.done = Promise.all([publish(), publish(), publish()]).then(() => {});
  }

  /** Waits until so many more are confirmed. */
  async more(count: number): Promise<void> {
    const wanted = this.confirmed.size + count;
    await until(
      "publishing",
      60_000,
      () => Promise.resolve(this.confirmed.size >= wanted),
    );
  }

  stop(): Promise<void> {
    this.#stopped = true;
    return this.done;
  }
}

/** Handles them; each tenth fails when it comes first. */
class Handler {
  readonly seen = new Map<number, number>();
  readonly retried = new Set<number>();
  ended = false;
  readonly #consumer: Consumer<number>;
  readonly #running: Promise<void>;

  constructor(connection: Connection) {
    this.#consumer = connection.consumer<number>(QUEUE, { prefetch: 10 });
    this.#running = this.#consumer.run(({ payload }) => {
      if (payload % 10 === 0 && !this.retried.has(payload)) {
        this.retried.add(payload);
        throw new Error("once");
      }
      this.seen.set(payload, (this.seen.get(payload) ?? 0) + 1);
    }, { retry: { attempts: 5, backoff: () => 100 } });
    const end = () => this.ended = true;
    this.#running.then(end, end);
  }

  async stop(): Promise<void> {
    assert(!this.ended, "run() has ended");
    await this.#consumer.cancel();
    await this.#running;
  }
}

/** Returns the messages that were confirmed and not handled, except those that were confirmed while the master changed. */
function missing(
  { confirmed }: Publisher,
  handlers: readonly Handler[],
  changes: readonly (readonly [from: number, to: number])[],
): readonly number[] {
  return [...confirmed].filter(([number, at]) =>
    !handlers.some(({ seen }) => seen.has(number)) &&
    !changes.some(([from, to]) => at >= from && at <= to)
  ).map(([number]) => number);
}

testAlone(
  "two failovers under load lose nothing, delayed and tried again or not, and end nobody",
  async () => {
    const { url, sentinels, stop } = await startSentinels();
    try {
      const options = { transportOptions: { masterName: MASTER } };
      await using connection = connectTo(url, options);
      await using other = connectTo(url, options);
      const publisher = new Publisher(connection);
      const handlers = [new Handler(other), new Handler(connection)];
      /** Redis passes on later what it has confirmed: no option of its prevents the loss of that. */
      const changes: [number, number][] = [];
      for (const sentinel of sentinels.slice(0, 2)) {
        await publisher.more(100);
        const lost = nextLoss(connection);
        const from = performance.now();
        await until("a failover", 60_000, async () => {
          const answer = await sentinel.command("SENTINEL", "FAILOVER", MASTER);
          return answer === "+OK";
        });
        await lost;
        changes.push([from, performance.now()]);
        await publisher.more(100);
      }
      await publisher.stop();
      await until(
        "the missing messages",
        90_000,
        () =>
          Promise.resolve(missing(publisher, handlers, changes).length === 0),
      );
      assert(handlers.some(({ retried }) => retried.size > 5));
      for (const handler of handlers) await handler.stop();
    } finally {
      await stop();
    }
  },
  240_000,
  true,
);

test(
  "a password that changes twice ends nobody, and loses nothing",
  async (server) => {
    await using raw = new Raw(server.port);
    let password = "first";
    const change = (next: string) =>
      raw.send("ACL", "SETUSER", "worker", "on", "resetpass", `>${next}`);
    await raw.send("ACL", "SETUSER", "worker", "~*", "&*", "+@all");
    await change(password);
    let asked = 0;
    const options = {
      username: "worker",
      password: () => {
        // The provider of the password is away now and then.
        if (asked++ % 3 === 2) throw new Error("no password now");
        return Promise.resolve(password);
      },
    };
    await using connection = connectTo(server.url, options);
    await using other = connectTo(server.url, options);
    const publisher = new Publisher(connection);
    const handlers = [new Handler(other), new Handler(connection)];
    for (const next of ["second", "third"]) {
      await publisher.more(100);
      const losses = [nextLoss(connection), nextLoss(other)];
      await change(next);
      await raw.send("CLIENT", "KILL", "USER", "worker");
      await Promise.all(losses);
      // They are refused until they are told the new one.
      const before = asked;
      await until(
        "a login that is refused",
        60_000,
        () => Promise.resolve(asked > before + 3),
      );
      password = next;
      await publisher.more(100);
    }
    await publisher.stop();
    await until(
      "the missing messages",
      60_000,
      () => Promise.resolve(missing(publisher, handlers, []).length === 0),
    );
    assertEquals(publisher.failed, 0);
    for (const handler of handlers) await handler.stop();
  },
  { patience: 240_000 },
);
