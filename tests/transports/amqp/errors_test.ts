import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  AuthenticationError,
  ConnectionError,
  type ConnectionOptions,
  createConnection,
  Exchange,
  MessagingError,
  NotFoundError,
  OptionError,
  PreconditionFailedError,
  PublishError,
  Queue,
} from "@dashi/mq";
import { freePort } from "../../brokers/server.ts";
import { type Client, test } from "../../support/amqp.ts";
import { SLACK } from "../../support/slack.ts";

interface Refusal {
  readonly name: string;
  readonly url: (client: Client) => string;
  readonly options?: ConnectionOptions;
  readonly type: new (...args: never[]) => Error;
  readonly code: string;
  readonly words: readonly string[];
}

const REFUSALS: readonly Refusal[] = [
  {
    name: "a closed port",
    url: ({ scheme }) => `${scheme}://127.0.0.1:${freePort()}//`,
    options: { connectTimeout: 1500 },
    type: ConnectionError,
    code: "connection-failed",
    words: ["Cannot connect", "127.0.0.1", "REFUSED"],
  },
  {
    name: "a host that is not there",
    url: ({ scheme }) => `${scheme}://no-such-host.invalid//`,
    options: { connectTimeout: 400 },
    type: ConnectionError,
    code: "connection-failed",
    words: ["no-such-host.invalid"],
  },
  {
    name: "a wrong password",
    url: ({ url }) => url.replace(":guest@", ":hunter2@"),
    type: AuthenticationError,
    code: "authentication-failed",
    words: ["Cannot connect", "guest", "refused"],
  },
  {
    name: "a wrong password from a function",
    url: ({ url }) => url.replace(":guest@", "@"),
    options: { password: () => Promise.resolve("hunter2") },
    type: AuthenticationError,
    code: "authentication-failed",
    words: ["refused"],
  },
  {
    name: "a wrong virtual host",
    url: ({ url }) => url.replace(/\/[^/]*$/, "nowhere"),
    type: NotFoundError,
    code: "not-found",
    words: ["nowhere", "virtual host", "amqp://host/name"],
  },
  {
    name: "an unknown option",
    url: ({ url }) => `${url}?fram_max=1`,
    type: OptionError,
    code: "option-unknown",
    words: ["fram_max", 'did you mean "frame_max"'],
  },
  {
    name: "a bad option",
    url: ({ url }) => url,
    options: { transportOptions: { channelMax: -1 } },
    type: OptionError,
    code: "option-invalid",
    words: ["channelMax", "-1"],
  },
];

for (const { name, url, options, type, code, words } of REFUSALS) {
  test(`connect() refuses ${name} with a typed error`, async (client) => {
    for (let attempt = 0; attempt < 2; attempt++) {
      await using connection = createConnection(url(client), options);
      const began = performance.now();
      const error = await assertRejects(() => connection.connect());
      assert(performance.now() - began < 5000 + SLACK);
      assert(error instanceof type, `${error}`);
      assert(error instanceof MessagingError);
      assertEquals<string>(error.code, code);
      for (const word of words) {
        assert(error.message.includes(word), error.message);
      }
      assert(!Deno.inspect(error).includes("hunter2"));
      assertEquals(connection.connected, false);
    }
  });
}

test("the first operation fails like connect() where there is no broker, and is tried again by the next", async ({ scheme }) => {
  const port = freePort();
  await using connection = createConnection(`${scheme}://127.0.0.1:${port}//`, {
    connectTimeout: 300,
  });
  const producer = connection.producer({ declare: [new Queue("q")] });
  const calls = [
    () => connection.declare(new Queue("q")),
    () => producer.publish(1, { routingKey: "q" }),
    () => connection.producer().publish(1, { routingKey: "q" }),
    () => connection.channel(),
  ];
  for (const call of calls) {
    const began = performance.now();
    const error = await assertRejects(call, ConnectionError);
    assertEquals([error.code, error.outcome], [
      "connection-failed",
      "not-sent",
    ]);
    assert(performance.now() - began < 300 + SLACK);
  }
});

test("connect() fails at once with reconnect: false", async ({ scheme }) => {
  await using connection = createConnection(
    `${scheme}://127.0.0.1:${freePort()}//`,
    {
      reconnect: false,
    },
  );
  const began = performance.now();
  await assertRejects(() => connection.connect(), ConnectionError);
  assert(performance.now() - began < SLACK);
});

test("connect() to a server that is silent ends at its deadline, and leaves no socket", async ({ scheme }) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const sockets: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const socket of listener) sockets.push(socket);
  })();
  {
    await using connection = createConnection(
      `${scheme}://127.0.0.1:${listener.addr.port}//`,
      { connectTimeout: 300 },
    );
    for (let attempt = 0; attempt < 2; attempt++) {
      const began = performance.now();
      const error = await assertRejects(
        () => connection.connect(),
        MessagingError,
      );
      assert(error.code === "connection-failed" || error.code === "timed-out");
      assertEquals(error.outcome, "not-sent");
      assert(performance.now() - began < 300 + SLACK);
    }
  }
  listener.close();
  await accepting;
  for (const socket of sockets) socket.close();
});

test("connect() that is aborted rejects with the reason, and leaves no socket", async ({ url }) => {
  const reason = new Error("mine");
  await using connection = createConnection(url);
  const error = await connection.connect({ signal: AbortSignal.abort(reason) })
    .catch((caught: unknown) => caught);
  assertEquals(error, reason);
  const controller = new AbortController();
  const connecting = connection.connect({ signal: controller.signal })
    .catch((caught: unknown) => caught);
  controller.abort(reason);
  assertEquals(await connecting, reason);
});

test("the second URL is taken when the first is dead", async ({ scheme, url }) => {
  const dead = `${scheme}://guest:guest@127.0.0.1:${freePort()}//`;
  const options = { connectTimeout: 30_000 };
  await using connection = createConnection([dead, url], options);
  await connection.connect();
  assertEquals(connection.asUri({ includePassword: true }), url);
});

test("the second URL is taken when the first one's password is wrong", async ({ url }) => {
  const wrong = url.replace("guest:guest", "guest:wrong");
  const options = { connectTimeout: 30_000 };
  await using connection = createConnection(`${wrong};${url}`, options);
  await connection.connect();
});

test("a body over the broker's limit is refused, and harms no other producer", async ({ url }) => {
  // RabbitMQ 3.10's default limit is 128 MiB, RabbitMQ 4's 16 MiB.
  const body = new Uint8Array(128 * 1024 * 1024 + 1);
  await using connection = createConnection(url, { operationTimeout: 60_000 });
  const queue = new Queue(`dashi-large-${crypto.randomUUID()}`, {
    exclusive: true,
  });
  const [one, two] = [
    connection.producer({ declare: [queue] }),
    connection.producer(),
  ];
  await one.publish("before", { routingKey: queue.name });
  const large = one.publish(body, { routingKey: queue.name });
  const small = Promise.all(
    Array.from(
      { length: 20 },
      (_, i) => two.publish(i, { routingKey: queue.name }),
    ),
  );
  const error = await assertRejects(() => large, PublishError);
  assertEquals(error.code, "message-too-large");
  assert(error.message.includes(String(body.byteLength)), error.message);
  await small;
  await one.publish("after", { routingKey: queue.name });
  const status = await connection.declare(queue);
  assertEquals(status.messageCount, 22);
});

test("a declaration with other arguments than the broker's is told the difference, and the two ways out", async ({ url }) => {
  await using connection = createConnection(url);
  const name = `dashi-other-${crypto.randomUUID()}`;
  const queue = (more: object) => new Queue(name, { exclusive: true, ...more });
  await connection.declare(queue({ messageTtl: 1000, maxLength: 7 }));
  const rows: readonly (readonly [object, string])[] = [
    [
      { messageTtl: 2000, maxLength: 7 },
      'with "x-message-ttl" 2000: the broker has it with "x-message-ttl" 1000',
    ],
    [
      { messageTtl: 1000 },
      'without "x-max-length": the broker has it with "x-max-length" 7',
    ],
    [
      {
        messageTtl: 1000,
        maxLength: 7,
        arguments: { "x-overflow": "reject-publish" },
      },
      'with "x-overflow" "reject-publish": the broker has it without "x-overflow"',
    ],
  ];
  for (const [options, words] of rows) {
    const { message } = await assertRejects(
      () => connection.declare(queue(options)),
      PreconditionFailedError,
    );
    assertEquals(
      message,
      `Cannot declare queue "${name}" ${words}; declare it as it is, or delete it first, with its messages`,
    );
  }
  const exchange = new Exchange(name, { type: "direct", autoDelete: true });
  await connection.declare(exchange);
  for (
    const [options, words] of [
      [
        { type: "topic", autoDelete: true },
        'of type "topic": the broker has it of type "direct"',
      ],
      [{ type: "direct" }, "as lasting: the broker has it as auto-delete"],
    ] as const
  ) {
    const { message } = await assertRejects(
      () => connection.declare(new Exchange(name, options)),
      PreconditionFailedError,
    );
    assertEquals(
      message,
      `Cannot declare exchange "${name}" ${words}; declare it as it is, or delete it first, with its bindings`,
    );
  }
  await connection.delete(exchange);
});
