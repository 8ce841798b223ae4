import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AccessRefusedError,
  ConnectionError,
  createConnection,
  OptionError,
  Queue,
} from "@dashi/mq";
import { run } from "@dashi/mq/cli";
import { CONFORMANCE_CASES, whyNot } from "@dashi/mq/conformance";
import { createTransport as createAmqp } from "../../../transports/amqp/mod.ts";
import { createTransport as createAmqpClient } from "../../../transports/amqp_client/mod.ts";
import { freePort } from "../../brokers/ports.ts";
import { findRabbitmq } from "../../brokers/rabbitmq.ts";
import { until } from "../../brokers/server.ts";
import { checkNumbers } from "../../support/inspection_table.ts";
import { startManagedRabbitmq } from "../../support/managed_rabbitmq.ts";

const SECRET = "hunter2-and-more";
const IS_HERE = findRabbitmq() !== undefined;

async function lookAtAll(context: Deno.TestContext): Promise<void> {
  const { server, managementUrl } = await startManagedRabbitmq();
  const { url } = server;
  const transportOptions = { managementUrl };
  const open = (options: Record<string, unknown> = transportOptions) =>
    createConnection(url, { transportOptions: options });
  try {
    await using first = open();
    await first.connect();
    assert(first.capabilities.has("inspect"));
    for (const create of [createAmqp, createAmqpClient]) {
      const transport = create();
      const harness = {
        transport,
        url,
        transportOptions,
        [Symbol.asyncDispose]: () => Promise.resolve(),
      };
      for (const each of CONFORMANCE_CASES) {
        if (!/inspect\(\)/.test(each.name)) continue;
        if (whyNot(each, harness, first.capabilities) !== undefined) continue;
        await context.step(
          `${transport.name}: ${each.name}`,
          () => each.run(harness),
        );
      }
    }

    await context.step("tells the server's clock, give or take", async () => {
      await using connection = open();
      const { product, clockAhead = NaN, clockError = NaN } = await connection
        .inspect().server();
      assertEquals(product, "RabbitMQ");
      assert(clockError >= 1000, `${clockError}`);
      // It is the clock of this machine, at which the server looks a little late when it is busy.
      assert(Math.abs(clockAhead) <= clockError + 5000, `${clockAhead}`);
      await using blind = open({});
      assertEquals((await blind.inspect().server()).clockAhead, undefined);
    });

    await context.step("lists 520 queues, each once", async () => {
      await using connection = open();
      const channel = await connection.channel();
      const names = Array.from({ length: 520 }, (_, i) => `many.${i}`);
      await Promise.all(names.map((name) =>
        channel.declareQueue({
          name,
          durable: false,
          exclusive: true,
          autoDelete: false,
          arguments: {},
        })
      ));
      await until("all queues", 30_000, async () => {
        const listed: string[] = [];
        for await (const { name } of connection.inspect().queues()) {
          if (name.startsWith("many.")) listed.push(name);
        }
        assertEquals(new Set(listed).size, listed.length);
        return listed.length === names.length;
      });
    });

    await context.step(
      "tells the numbers that docs/inspection.md says",
      async () => {
        await using connection = open();
        await checkNumbers(connection, "RabbitMQ");
      },
    );

    await context.step("counts an ordered queue as one", async () => {
      await using connection = open();
      const queue = new Queue("in order", { ordered: true });
      for (const key of ["a", "b", "c"]) {
        await connection.send(queue, key, { key });
      }
      const { ready } = await connection.inspect().queue(queue);
      assertEquals(ready, 3);
      await connection.delete(queue);
    });

    await context.step("dashi list goes by DASHI_MANAGEMENT_URL", async () => {
      await using connection = open();
      const queue = new Queue("for dashi");
      await connection.declare(queue);
      const variables = new Map([
        ["DASHI_URL", url],
        ["DASHI_MANAGEMENT_URL", managementUrl],
      ]);
      let [out, err] = ["", ""];
      const code = await run({
        args: ["list"],
        columns: undefined,
        isPiped: false,
        variable: (name) => variables.get(name),
        write: (text) => Promise.resolve(void (out += text)),
        tell: (line) => void (err += line),
        read: () => Promise.reject(new Error("there is no file")),
        async *input() {},
      });
      assertEquals([code, err], [0, ""]);
      const names = out.trim().split("\n").map((each) => JSON.parse(each).name);
      assert(names.includes(queue.name));
      await connection.delete(queue);
    });

    await context.step("says who was refused, and no password", async () => {
      const wrong = managementUrl.replace("//", `//guest:${SECRET}@`);
      await using connection = open({ managementUrl: wrong });
      const error = await assertRejects(
        () => connection.inspect().exchanges(),
        AccessRefusedError,
        '"guest"',
      );
      assert(!`${Deno.inspect(error)}`.includes(SECRET));
      assert(error.message.includes('"management"'));
      assert(error.message.includes(`${managementUrl.slice(0, -1)}"`));
    });

    await context.step("says where nobody answers", async () => {
      const nobody = `http://guest:${SECRET}@127.0.0.1:${freePort()}`;
      await using connection = open({ managementUrl: nobody });
      const error = await assertRejects(
        () => connection.inspect().bindings(),
        ConnectionError,
        "management API",
      );
      assert(!`${Deno.inspect(error)}`.includes(SECRET));
    });
  } finally {
    await server.stop();
  }
}

Deno.test({
  name: `RabbitMQ's management API shows all that is in a virtual host${
    IS_HERE ? "" : " (RabbitMQ is no program here)"
  }`,
  ignore: !IS_HERE,
  // The server's process belongs to all steps.
  sanitizeOps: false,
  sanitizeResources: false,
  fn: lookAtAll,
});

Deno.test("a managementUrl that is none is refused, without a password in the error", async () => {
  for (const managementUrl of [`amqp://me:${SECRET}@host`, "host", 15672, {}]) {
    await using connection = createConnection("amqp://127.0.0.1", {
      transportOptions: { managementUrl },
    });
    const error = await assertRejects(
      () => connection.connect(),
      OptionError,
      "http://localhost:15672",
    );
    assert(!error.message.includes(SECRET));
  }
});
