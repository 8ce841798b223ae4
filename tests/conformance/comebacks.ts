import assert from "node:assert/strict";
import {
  AuthenticationError,
  type Connection,
  ConnectionError,
  type ConnectionEvent,
  type Queue,
} from "../../mod.ts";
import type {
  CloseReason,
  Transport,
  TransportConnection,
} from "../../transports/transport.ts";
import type { ConformanceCase } from "./case.ts";
import type { Harness } from "./harness.ts";
import { onStage, open, type Stage } from "./stage.ts";
import { arrives, rejectsWith, soon, until } from "./support.ts";

/** Reconnects at once. */
export const QUICK = { initialDelay: 1, maxDelay: 20 };

/** Errors that are final before a connection has worked, and transient after it: logins, queues that are away. */
export const COMEBACKS: readonly ConformanceCase[] = [
  onStage(
    "a login that is refused for a while ends nothing, is told, and is tried again ever slower",
    async (stage, harness) => {
      await withGate(stage, harness, QUICK, async (scene) => {
        const { gate, connection, queue, producer } = scene;
        const ran = numbers();
        const running = connection.consumer<number>(queue).run(
          ({ payload }) => ran.add(payload),
        );
        await producer.publish(1, { routingKey: queue.name });
        await ran.has(1);
        await gate.lose(refused);
        const sent = producer.publish(2, { routingKey: queue.name });
        await until(() => gate.refusals >= 5, "five refusals");
        gate.open();
        await arrives(sent, "the publish");
        await ran.has(2);
        const waits = scene.events.flatMap((event) =>
          event.type === "state" && event.state.type === "waiting"
            ? [event.state]
            : []
        );
        assert.ok(waits.length >= 5, `${waits.length} waits were told`);
        for (const { error } of waits) {
          assert.ok(error instanceof AuthenticationError, String(error));
        }
        assert.ok(Math.max(...waits.map(({ delay }) => delay)) > 4);
        await connection.close();
        await running;
      });
    },
  ),
  onStage(
    "`reconnect.maxRefusals` says how many refusals in a row are borne",
    async (stage, harness) => {
      const reconnect = { ...QUICK, maxRefusals: 2 };
      await withGate(stage, harness, reconnect, async (scene) => {
        const { gate, connection, queue, producer } = scene;
        const ran = numbers();
        const running = connection.consumer<number>(queue).run(
          ({ payload }) => ran.add(payload),
        );
        running.catch(() => {});
        await producer.publish(1, { routingKey: queue.name });
        await ran.has(1);
        await gate.lose(refused);
        await rejectsWith(running, "authentication-failed");
        // A consumer that hears of the loss too late to wait with the others tries anew; it
        // counts nothing a second time.
        assert.ok([3, 6].includes(gate.refusals), `${gate.refusals} logins`);
        await rejectsWith(
          producer.publish(2, { routingKey: queue.name }),
          "authentication-failed",
        );
      });
    },
  ),
  onStage(
    "a login that is refused from the start ends a consumer and a publish at once",
    async (stage, harness) => {
      const gate = new Gate(harness.transport);
      gate.refuse(refused);
      const connection = open({ ...harness, transport: gate });
      const queue = stage.queue();
      const running = connection.consumer(queue).run(() => {});
      await rejectsWith(running, "authentication-failed");
      await rejectsWith(
        connection.producer().publish(1, { routingKey: queue.name }),
        "authentication-failed",
      );
      assert.ok(gate.refusals <= 2, `${gate.refusals} logins`);
      await connection.close();
    },
  ),
  onStage(
    "one missing queue of five does not end the others, is told, and is consumed again when it is back",
    async (stage, harness) => {
      await withGate(stage, harness, QUICK, async (scene) => {
        const { gate, connection, events } = scene;
        const queues = [1, 2, 3, 4, 5].map(() => stage.queue());
        const names = queues.map(({ name }) => name);
        const elsewhere = stage.connection;
        await elsewhere.declare(queues);
        const ran = numbers();
        const consumer = connection.consumer<number>(names);
        const running = consumer.run(({ payload }) => ran.add(payload));
        const producer = elsewhere.producer<number>();
        const toEach = async (first: number, but?: number) => {
          for (const [i, routingKey] of names.entries()) {
            if (i === but) continue;
            await producer.publish(first + i, { routingKey });
            await ran.has(first + i);
          }
        };
        await toEach(10);
        const missing = queues[2];
        assert.ok(missing !== undefined);
        const channel = await elsewhere.channel();
        await channel.deleteQueue(missing.name, soon());
        await gate.lose();
        gate.open();
        await toEach(20, 2);
        await until(
          () =>
            events.some((event) =>
              event.type === "consume-failed" && event.queue === missing.name
            ),
          "the event",
        );
        assert.equal(consumer.health().healthy, false);
        await elsewhere.declare(missing);
        await toEach(30);
        await until(() => consumer.health().healthy, "its health");
        await connection.close();
        await running;
      });
    },
    { needs: ["known-queues", "shared-topology"] },
  ),
  onStage(
    "without any refusal borne, one missing queue of several ends their consumer",
    async (stage, harness) => {
      const reconnect = { ...QUICK, maxRefusals: 0 };
      await withGate(stage, harness, reconnect, async (scene) => {
        const { gate, connection } = scene;
        const [kept, missing] = [stage.queue(), stage.queue()];
        const elsewhere = stage.connection;
        await elsewhere.declare([kept, missing]);
        const ran = numbers();
        const running = connection.consumer<number>([kept.name, missing.name])
          .run(({ payload }) => ran.add(payload));
        running.catch(() => {});
        const producer = elsewhere.producer<number>();
        await producer.publish(1, { routingKey: missing.name });
        await ran.has(1);
        const channel = await elsewhere.channel();
        await channel.deleteQueue(missing.name, soon());
        await gate.lose();
        gate.open();
        await arrives(
          running.then(() => assert.fail("it returned"), (error) => {
            assert.ok(
              ["not-found", "consumer-cancelled"].includes(error.code),
              String(error),
            );
          }),
          "the end",
        );
      });
    },
    { needs: ["known-queues", "shared-topology"] },
  ),
];

/** The parts of a case behind a gate. */
export interface Scene {
  readonly gate: Gate;
  /** Goes through the gate. */
  readonly connection: Connection;
  readonly queue: Queue;
  readonly producer: ReturnType<Connection["producer"]>;
  readonly events: readonly ConnectionEvent[];
}

/** Runs a case with a connection through a gate, which it closes. */
export async function withGate(
  stage: Stage,
  harness: Harness,
  reconnect: { readonly initialDelay: number; readonly maxRefusals?: number },
  run: (scene: Scene) => Promise<void>,
): Promise<void> {
  const gate = new Gate(harness.transport);
  const connection = open({ ...harness, transport: gate }, { reconnect });
  const events: ConnectionEvent[] = [];
  const told = (async () => {
    for await (const event of connection.events()) events.push(event);
  })();
  const queue = stage.queue();
  try {
    const producer = connection.producer({ declare: [queue] });
    await run({ gate, connection, queue, producer, events });
  } finally {
    await connection.close();
    await arrives(told, "the end of the events");
  }
}

/** A transport before which somebody stands who may let nobody in, and show everybody out. */
export class Gate implements Transport {
  readonly name: string;
  readonly defaults?: NonNullable<Transport["defaults"]>;
  /** How many were not let in. */
  refusals = 0;
  readonly #transport: Transport;
  readonly #inside = new Set<() => Promise<void>>();
  #refusal: (() => Error) | undefined;

  constructor(transport: Transport) {
    this.name = transport.name;
    if (transport.defaults !== undefined) this.defaults = transport.defaults;
    this.#transport = transport;
  }

  /** Lets nobody in from now on. */
  refuse(refusal: () => Error): void {
    this.#refusal = refusal;
  }

  open(): void {
    this.#refusal = undefined;
  }

  /** All connections are lost; new ones are refused with an error, or as if nobody were there. */
  async lose(refusal: () => Error = away): Promise<void> {
    this.#refusal = refusal;
    await Promise.all([...this.#inside].map((lose) => lose()));
  }

  async connect(
    ...args: Parameters<Transport["connect"]>
  ): Promise<TransportConnection> {
    if (this.#refusal !== undefined) {
      this.refusals++;
      throw this.#refusal();
    }
    const inner = await this.#transport.connect(...args);
    const lost = Promise.withResolvers<CloseReason>();
    const lose = async () => {
      this.#inside.delete(lose);
      lost.resolve({
        type: "lost",
        error: new ConnectionError("The connection was lost", {
          code: "connection-lost",
        }),
      });
      await inner[Symbol.asyncDispose]();
    };
    this.#inside.add(lose);
    return {
      capabilities: inner.capabilities,
      closed: Promise.race([inner.closed, lost.promise]),
      openChannel: (options) => inner.openChannel(options),
      destroy: () => inner.destroy?.(),
      [Symbol.asyncDispose]: async () => {
        this.#inside.delete(lose);
        await inner[Symbol.asyncDispose]();
      },
    };
  }
}

function away(): ConnectionError {
  return new ConnectionError("Cannot connect: nobody is there", {
    code: "connection-failed",
  });
}

/** The error of a login that is refused. */
export function refused(): AuthenticationError {
  return new AuthenticationError("Cannot connect: the password is wrong");
}

/** Collects the numbers that have come, and waits for more. */
export function numbers(): {
  add(each: number): void;
  has(each: number): Promise<void>;
} {
  const seen = new Set<number>();
  return {
    add: (each) => void seen.add(each),
    has: (each) => until(() => seen.has(each), `message ${each}`),
  };
}
