import { assert, assertEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { type Channel, connect } from "amqplib";
import { encodeFields } from "../../transports/amqp/fields.ts";
import { route, Topology } from "../../virtual/mod.ts";
import type {
  Binding,
  ExchangeType,
  FieldTable,
  FieldValue,
} from "../../virtual/mod.ts";

const url = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

const SEED = 20_261_124;
const ROUNDS = 12;
const MESSAGES = 100;
const TYPES: readonly ExchangeType[] = ["direct", "topic", "fanout", "headers"];

/** The same numbers on every run. */
function numbers(seed: number): (most: number) => number {
  let state = seed;
  return (most) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return Math.floor(state / 65_536) % most;
  };
}

/** Random exchanges, queues and bindings, and messages to send through them. */
class World {
  readonly topology = new Topology();
  readonly exchanges: string[] = [];
  readonly queues: string[] = [];
  readonly #random: (most: number) => number;
  readonly #prefix = `dashi-route-${crypto.randomUUID()}-`;

  constructor(random: (most: number) => number) {
    this.#random = random;
  }

  #pick<T>(list: readonly T[]): T {
    const item = list[this.#random(list.length)];
    assert(item !== undefined);
    return item;
  }

  words(choices: readonly string[]): string {
    const count = this.#random(5);
    return Array.from({ length: count }, () => this.#pick(choices)).join(".");
  }

  value(): FieldValue {
    return this.#pick<FieldValue>([
      "x",
      "y",
      "",
      1,
      2,
      300,
      -1,
      1.5,
      true,
      false,
      null,
      2 ** 40,
      1n,
      new TextEncoder().encode("x"),
      [1, "x"],
      { b: 1 },
    ]);
  }

  headers(): FieldTable {
    const names = ["a", "b", "x-c"].filter(() => this.#random(2) === 0);
    return Object.fromEntries(names.map((name) => [name, this.value()]));
  }

  async declare(channel: Channel): Promise<void> {
    for (let i = 0; i < 8; i++) {
      const name = `${this.#prefix}e${i}`;
      const type = TYPES[i % TYPES.length] ?? "direct";
      const arguments_: FieldTable = i >= 4 && this.#random(2) === 0
        ? { "alternate-exchange": this.#pick(this.exchanges) }
        : {};
      await channel.assertExchange(name, type, {
        arguments: arguments_,
        autoDelete: false,
        durable: false,
      });
      this.topology.apply({
        type: "exchange-declared",
        exchange: {
          name,
          type,
          durable: false,
          autoDelete: false,
          internal: false,
          arguments: arguments_,
        },
      });
      this.exchanges.push(name);
    }
    for (let i = 0; i < 6; i++) {
      const name = `${this.#prefix}q${i}`;
      await channel.assertQueue(name, { exclusive: true, durable: false });
      const queue = {
        name,
        durable: false,
        exclusive: true,
        autoDelete: false,
        arguments: {},
      };
      this.topology.apply({ type: "queue-declared", queue, owner: undefined });
      this.queues.push(name);
    }
    for (let i = 0; i < 40; i++) await this.#bind(channel);
  }

  async #bind(channel: Channel): Promise<void> {
    const source = this.#pick(this.exchanges);
    const toExchange = this.#random(4) === 0;
    const name = toExchange
      ? this.#pick(this.exchanges)
      : this.#pick(this.queues);
    const type = this.topology.exchange(source)?.declaration.type;
    const routingKey = this.words(
      type === "topic" ? ["a", "b", "*", "#", "", "a*"] : ["a", "b", ""],
    );
    const arguments_: FieldTable = type === "headers"
      ? {
        ...this.headers(),
        ...this.#pick<FieldTable>([
          {},
          ...["all", "any", "all-with-x", "any-with-x"].map((each) => ({
            "x-match": each,
          })),
        ]),
      }
      : {};
    const fields = encodeFields(arguments_, (bytes) => Buffer.from(bytes));
    if (toExchange) {
      await channel.bindExchange(name, source, routingKey, fields);
    } else await channel.bindQueue(name, source, routingKey, fields);
    const binding: Binding = {
      source,
      destination: { kind: toExchange ? "exchange" : "queue", name },
      routingKey,
      arguments: arguments_,
    };
    this.topology.apply({ type: "bound", binding });
  }

  message(id: number) {
    return {
      id: String(id),
      exchange: this.#random(10) === 0 ? "" : this.#pick(this.exchanges),
      routingKey: this.#random(6) === 0
        ? this.#pick(this.queues)
        : this.words(["a", "b", "c", "", "*", "#"]),
      properties: { headers: { ...this.headers(), ...this.#moreKeys() } },
    };
  }

  #moreKeys(): FieldTable {
    const name = this.#pick(["CC", "BCC", "", "", "", "", "", ""]);
    return name === ""
      ? {}
      : { [name]: [this.words(["a", "b"]), this.#pick(this.queues), 7] };
  }
}

Deno.test({
  name: `route() goes where RabbitMQ goes, ${
    ROUNDS * MESSAGES
  } times, seed ${SEED}${url === undefined ? ` (${reason})` : ""}`,
  ignore: url === undefined,
  fn: async () => {
    const model = await connect(url ?? "");
    try {
      const random = numbers(SEED);
      for (let round = 0; round < ROUNDS; round++) {
        const channel = await model.createConfirmChannel();
        const world = new World(random);
        await world.declare(channel);
        const messages = Array.from(
          { length: MESSAGES },
          (_, i) => world.message(i),
        );
        for (const { id, exchange, routingKey, properties } of messages) {
          channel.publish(exchange, routingKey, Buffer.alloc(0), {
            messageId: id,
            headers: encodeFields(
              properties.headers,
              (bytes) => Buffer.from(bytes),
            ),
          });
        }
        await channel.waitForConfirms();
        const found = new Map<string, string[]>();
        for (const queue of world.queues) {
          for (;;) {
            const got = await channel.get(queue, { noAck: true });
            if (got === false) break;
            const id = String(got.properties.messageId);
            found.set(id, [...found.get(id) ?? [], queue]);
          }
        }
        for (const message of messages) {
          assertEquals(
            [...route(world.topology, message).queues].sort(),
            (found.get(message.id) ?? []).sort(),
            `round ${round}: ${
              JSON.stringify(message, (_, each) =>
                typeof each === "bigint" ? `${each}n` : each)
            }`,
          );
        }
        for (const queue of world.queues) await channel.deleteQueue(queue);
        for (const exchange of world.exchanges) {
          await channel.deleteExchange(exchange);
        }
        await channel.close();
      }
    } finally {
      await model.close();
    }
  },
});
