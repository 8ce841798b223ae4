// deno-lint-ignore-file no-top-level-await -- the methods of an object count as that
/** Logins, virtual hosts and permissions that go and come back, on a RabbitMQ of the test's own. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthenticationError,
  type Connection,
  type ConnectionEvent,
  type ConnectionOptions,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import {
  findRabbitmq,
  type Rabbitmq,
  startRabbitmq,
} from "../brokers/rabbitmq.ts";
import { arrives } from "../conformance/support.ts";
import { CLIENTS } from "../support/amqp.ts";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { ALL } from "../support/targets.ts";
import { Proxy } from "../support/proxy.ts";

/** So much everything here takes at most, ms: `rabbitmqctl` takes seconds on a busy machine. */
const PATIENCE = 60_000;

/** Its user and its virtual host, of one name; the operator's calls take seconds. */
const NAME = "somebody";

/** A connection that consumes and publishes. */
class Scene {
  readonly proxy: Proxy;
  readonly connection: Connection;
  readonly events: ConnectionEvent[] = [];
  /** The messages that have come by `run`, and by a loop. */
  readonly ran: Set<number> = new Set();
  readonly looped: Set<number> = new Set();
  /** Why one of the consumers has ended. */
  ended: unknown = "not yet";
  readonly #ends: Promise<unknown>[] = [];
  readonly #work = new Queue(crypto.randomUUID());
  readonly #noted = new Queue(crypto.randomUUID());
  #sent = 0;

  /** Connects by a client. */
  constructor(url: string, scheme: string, options: ConnectionOptions) {
    this.proxy = Proxy.to(url);
    this.connection = createConnection(
      `${scheme}://${NAME}@127.0.0.1:${this.proxy.port}/${NAME}`,
      {
        password: "first",
        connectTimeout: 20_000,
        reconnect: { initialDelay: 20, maxDelay: 200 },
        ...options,
      },
    );
  }

  async begin(): Promise<void> {
    const { connection, events, ran, looped } = this;
    this.#ends.push((async () => {
      for await (const event of connection.events()) events.push(event);
    })());
    await connection.declare([this.#work, this.#noted]);
    const consumer = connection.consumer<number>(this.#work);
    this.#ends.push(
      consumer.run(({ payload }) => void ran.add(payload)).then(
        () => this.ended = "returned",
        (error) => this.ended = error,
      ),
      (async () => {
        try {
          const loop = connection.consumer<number>(this.#noted);
          for await (const message of loop) {
            looped.add(message.payload);
            await message.ack().catch(() => {});
          }
          this.ended = "the loop returned";
        } catch (error) {
          this.ended = error;
        }
      })(),
    );
    await this.works();
  }

  /** Checks that published messages arrive, at both consumers. */
  async works(): Promise<void> {
    const number = ++this.#sent;
    const declare = [this.#work, this.#noted];
    const producer = this.connection.producer<number>({ declare });
    for (const { name: routingKey } of declare) {
      await producer.publish(number, { routingKey, timeout: PATIENCE });
    }
    await this.holds(
      () => this.ran.has(number) && this.looped.has(number),
      `message ${number}`,
    );
    assertEquals(this.ended, "not yet");
  }

  /** Waits. */
  async holds(isSo: () => boolean, what: string): Promise<void> {
    const end = performance.now() + PATIENCE;
    while (!isSo()) {
      const told = () => Deno.inspect([this.ended, this.connection.state]);
      assert(performance.now() < end, `${what} did not come; ${told()}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  /** How often the connection was lost. */
  get losses(): number {
    return this.events.filter(({ type }) => type === "lost").length;
  }

  /** Which logins were refused, as the events tell. */
  get refusals(): readonly MessagingError[] {
    return this.events.flatMap((event) =>
      event.type === "state" && event.state.type === "waiting" &&
        event.state.error instanceof MessagingError &&
        !event.state.error.retryable
        ? [event.state.error]
        : []
    );
  }

  async close(): Promise<void> {
    await this.connection.close({ drainTimeout: 2000 });
    await arrives(Promise.all(this.#ends), "the ends", PATIENCE);
    await this.proxy[Symbol.asyncDispose]();
  }
}

/** A scene for each client, and the operator of their broker. */
class Stage {
  readonly #broker: Rabbitmq;
  readonly #scenes: readonly Scene[];

  constructor(broker: Rabbitmq, options: () => ConnectionOptions) {
    this.#broker = broker;
    this.#scenes = CLIENTS.map(({ scheme }) =>
      new Scene(broker.url, scheme, options())
    );
  }

  async each(what: (scene: Scene) => Promise<void>): Promise<void> {
    await Promise.all(this.#scenes.map(what));
  }

  async works(): Promise<void> {
    await this.each((scene) => scene.works());
  }

  async refused(count: number): Promise<void> {
    await this.each((scene) =>
      scene.holds(() => scene.refusals.length >= count, `${count} refusals`)
    );
  }

  /** The operator closes all connections. */
  async closeConnections(): Promise<void> {
    const before = this.#scenes.map(({ losses }) => losses);
    await this.control("close_all_connections", "--vhost", NAME, "maintenance");
    await Promise.all(
      this.#scenes.map((scene, i) =>
        scene.holds(() => scene.losses > (before[i] ?? 0), "the loss")
      ),
    );
  }

  cut(): void {
    for (const { proxy } of this.#scenes) proxy.cut();
  }

  async setPassword(password: string): Promise<void> {
    await this.#broker.control("change_password", NAME, password);
  }

  async allow(configure = ".*", read = ".*"): Promise<void> {
    const rules = [configure, ".*", read];
    await this.control("set_permissions", "-p", NAME, NAME, ...rules);
  }

  async control(...args: string[]): Promise<void> {
    await this.#broker.control(...args);
  }
}

interface Case {
  readonly options?: () => ConnectionOptions;
  run(stage: Stage): Promise<void>;
}

let password = "first";
let give: (() => unknown) | undefined;

const CASES: Readonly<Record<string, Case>> = {
  "a password that changes twice": {
    options: () => ({ password: () => password }),
    async run(stage) {
      for (const next of ["second", "first"]) {
        await stage.setPassword(next);
        password = next;
        await stage.closeConnections();
        await stage.works();
      }
    },
  },
  "a login that is refused for a while is tried again, ever slower, and told": {
    async run(stage) {
      await stage.setPassword("other");
      stage.cut();
      await stage.refused(5);
      await stage.each(async ({ refusals, events }) => {
        for (const error of refusals) {
          assert(error instanceof AuthenticationError, Deno.inspect(error));
        }
        const delays = events.flatMap((event) =>
          event.type === "state" && event.state.type === "waiting"
            ? [event.state.delay]
            : []
        );
        assert(Math.max(...delays) >= 80, `${delays}`);
        await Promise.resolve();
      });
      await stage.setPassword("first");
      await stage.works();
    },
  },
  "a password function that throws, hangs, and gives no string, once each": {
    options: () => {
      let given = give;
      return {
        connectTimeout: 3000,
        password: () => {
          const now = given === give ? undefined : give;
          given = give;
          return (now === undefined ? "first" : now()) as string;
        },
      };
    },
    async run(stage) {
      for (
        const wrong of [
          () => {
            throw new Error("the vault is away");
          },
          () => Promise.reject("a string"),
          () => new Promise(() => {}),
          () => 7,
          () => undefined,
        ]
      ) {
        give = wrong;
        stage.cut();
        await stage.works();
      }
      // The one that hangs is a missed deadline, which may pass as such.
      await stage.refused(4);
    },
  },
  "a virtual host that is deleted and comes back": {
    async run(stage) {
      await stage.control("delete_vhost", NAME);
      await stage.refused(2);
      await stage.control("add_vhost", NAME);
      await stage.allow();
      await stage.works();
    },
  },
  "permissions that are cleared and set again": {
    async run(stage) {
      await stage.control("clear_permissions", "-p", NAME, NAME);
      stage.cut();
      await stage.refused(2);
      // Some of them: it may log in, and neither read nor declare.
      await stage.allow("^$", "^$");
      await stage.each((scene) =>
        scene.holds(
          () => scene.events.some(({ type }) => type === "consume-failed"),
          "that it is told",
        )
      );
      await stage.allow();
      await stage.works();
    },
  },
  "maxRefusals ends it": {
    options: () => ({
      reconnect: { initialDelay: 10, maxDelay: 50, maxRefusals: 2 },
    }),
    async run(stage) {
      await stage.setPassword("other");
      stage.cut();
      await stage.each(async (scene) => {
        await scene.holds(() => scene.ended !== "not yet", "the end");
        assert(scene.ended instanceof AuthenticationError, `${scene.ended}`);
        assertEquals(scene.refusals.length, 2);
        await assertRejects(() => scene.works(), AuthenticationError);
      });
      await stage.setPassword("first");
    },
  },
};

const why = !ALL
  ? "run it by deno task faults"
  : findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : undefined;

Deno.test({
  name: `amqp, amqp_client: logins that go and come back${
    why === undefined ? "" : ` (${why})`
  }`,
  ignore: why !== undefined,
  fn: async (context) => {
    const broker = await startRabbitmq();
    try {
      await broker.control("add_user", NAME, password);
      await broker.control("add_vhost", NAME);
      for (
        const [name, { options = () => ({}), run }] of Object.entries(CASES)
      ) {
        await context.step(name, async () => {
          const before = resources();
          const stage = new Stage(broker, options);
          await stage.allow();
          await stage.each((scene) => scene.begin());
          try {
            await run(stage);
          } finally {
            await stage.each((scene) => scene.close());
          }
          await assertNothingLeft(before);
        });
      }
      await context.step(
        "an error from the start ends at once",
        async () => {
          for (const { scheme } of CLIENTS) {
            const { port } = new URL(broker.url.replace(/^\w+:/, "http:"));
            await using connection = createConnection(
              `${scheme}://${NAME}:wrong@127.0.0.1:${port}/${NAME}`,
              { connectTimeout: PATIENCE },
            );
            await assertRejects(
              () => connection.connect(),
              AuthenticationError,
            );
            await assertRejects(
              () => connection.consumer("q").run(() => {}),
              AuthenticationError,
            );
          }
        },
      );
    } finally {
      await broker.stop();
    }
  },
});
