import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertThrows,
} from "@std/assert";
import {
  ClosedError,
  type Connection,
  ConnectionError,
  type ConnectionOptions,
  createConnection,
  OptionError,
  Queue,
  TransportError,
} from "@dashi/mq";
import type { BrokerUrl, Transport } from "@dashi/mq/transport";

type Input = string | readonly string[] | ConnectionOptions;

/** The URLs that Kombu prints, its defects mended. */
const URIS:
  readonly (readonly [Input, ConnectionOptions | undefined, string])[] = [
    [{}, undefined, "amqp://guest:**@localhost:5672//"],
    [{ hostname: "h", username: "u" }, undefined, "amqp://u:**@h:5672//"],
    [{ transport: "redis" }, undefined, "redis://127.0.0.1:6379/"],
    ["amqp://", {}, "amqp://guest:**@localhost:5672//"],
    [
      "example.com",
      { port: 1, transport: "amqp" },
      "amqp://guest:**@example.com:1//",
    ],
    [
      ["amqp://example.com", "example.com"],
      {},
      "amqp://guest:**@example.com:5672//",
    ],
    [
      "amqp://example.com;example.com;",
      {},
      "amqp://guest:**@example.com:5672//",
    ],
    ["amqp://u:p@h:1/v", {
      username: "U",
      password: "P",
      port: 9,
      virtualHost: "V",
    }, "amqp://u:**@h:1/v"],
    [
      "amqp://h",
      { username: "U", password: "P", port: 9, virtualHost: "V" },
      "amqp://U:**@h:9/V",
    ],
    ["amqp://h", { transport: "memory" }, "memory://h//"],
    ["amqps://h", {}, "amqps://guest:**@h:5671//"],
    ["amqp://h", { tls: true }, "amqp://guest:**@h:5671//"],
    ["amqp://h?ssl=1", {}, "amqp://guest:**@h:5671//"],
    ["amqp://h?ssl=0", {}, "amqp://guest:**@h:5672//"],
    ["pyamqp://h", {}, "amqp://guest:**@h:5672//"],
    ["amqplib://h", {}, "amqp://guest:**@h:5672//"],
    [
      "amqp://user:pass@localhost:5672/my/vhost",
      {},
      "amqp://user:**@localhost:5672/my/vhost",
    ],
    ["amqp://h/a%2Fb", {}, "amqp://guest:**@h:5672/a/b"],
    ["amqp://h/a%3Fb", {}, "amqp://guest:**@h:5672/a%3Fb"],
    ["amqp://h/%C3%A9", {}, "amqp://guest:**@h:5672/%C3%A9"],
    ["amqp://[::1]", {}, "amqp://guest:**@[::1]:5672//"],
    ["in-memory://h", {}, "memory://h//"],
  ];

for (const [input, options, expected] of URIS) {
  Deno.test(`asUri() of ${JSON.stringify(input)} ${JSON.stringify(options)}`, () => {
    assertEquals(createConnection(input, options).asUri(), expected);
  });
}

Deno.test("asUri() shows the password when it is asked to, and another mask", () => {
  const connection = createConnection("amqp://u:p%2F@h:1/v?heartbeat=5");
  assertEquals(
    connection.asUri({ includePassword: true }),
    "amqp://u:p%2F@h:1/v",
  );
  assertEquals(connection.asUri({ mask: "xx" }), "amqp://u:xx@h:1/v");
  assertEquals(connection.asUri({ mask: "" }), "amqp://u@h:1/v");
});

Deno.test("no string form of a connection has its password", () => {
  const connection = createConnection("amqp://u:hunter2@h/", {
    password: "hunter2",
  });
  const forms = [
    String(connection),
    `${connection}`,
    JSON.stringify(connection),
    JSON.stringify({ connection }),
    Deno.inspect(connection),
    Deno.inspect({ connection }, { depth: 10, showHidden: true }),
    JSON.stringify(connection.info()),
    Deno.inspect(connection.info()),
  ];
  for (const form of forms) assert(!form.includes("hunter2"), form);
});

Deno.test("info() has everything before anything is loaded", () => {
  const info = createConnection("amqps://u@h?heartbeat=2", {
    connectTimeout: 7,
  }).info();
  assertEquals(info, {
    name: undefined,
    transport: "amqp",
    hostname: "h",
    peer: undefined,
    port: 5671,
    username: "u",
    virtualHost: "/",
    tls: true,
    connectTimeout: 7,
    operationTimeout: 30_000,
    heartbeat: 2000,
    urls: ["amqps://u:**@h:5671//"],
  });
});

const BAD: readonly (readonly [
  string,
  string,
  ConnectionOptions,
  unknown,
  ...string[],
])[] = [
  [
    "an unknown scheme",
    "bogus://h",
    {},
    TransportError,
    "bogus",
    "known are amqp",
  ],
  [
    "a misspelled scheme",
    "ampq://h",
    {},
    TransportError,
    'did you mean "amqp"',
  ],
  [
    "an alias that is no scheme",
    "x",
    { transport: "constructor" },
    TransportError,
    "constructor",
  ],
  ["a bad port", "amqp://h:x/", {}, SyntaxError, "port", "65535"],
  ["a bad port option", "amqp://h", { port: 1.5 }, OptionError, "1.5"],
  ["a bad parameter", "amqp://h?ssl=perhaps", {}, OptionError, "perhaps"],
  [
    "a bad timeout",
    "amqp://h",
    { operationTimeout: 0 },
    RangeError,
    "operationTimeout",
  ],
  [
    "a negative heartbeat",
    "amqp://h",
    { heartbeat: -1 },
    RangeError,
    "heartbeat",
  ],
  [
    "no attempts",
    "amqp://h",
    { reconnect: { attempts: 0 } },
    RangeError,
    "attempts",
  ],
];

for (const [name, url, options, Class, ...words] of BAD) {
  Deno.test(`createConnection() refuses ${name}`, () => {
    const error = assertThrows(() => createConnection(url, options));
    assertInstanceOf(error, Class as new () => Error);
    for (const word of words) {
      assert(error.message.includes(word), error.message);
    }
  });
}

Deno.test("createConnection() takes an import of a transport", async () => {
  await using connection = createConnection("mine://any", {
    transport: () => import("../../../transports/memory/mod.ts"),
  });
  await connection.connect();
  assert(connection.connected);
});

Deno.test("a transport that is imported late fills in what its URL leaves out, too", async () => {
  const defaults = { hostname: "there", port: 7, virtualHost: "all" };
  const { promise, resolve } = Promise.withResolvers<BrokerUrl>();
  const mine: Transport = {
    name: "mine",
    defaults,
    connect: (url) => {
      resolve(url);
      const code = "connection-failed";
      return Promise.reject(new ConnectionError("nobody is there", { code }));
    },
  };
  await using connection = createConnection("mine://:8", {
    transport: () => Promise.resolve({ createTransport: () => mine }),
    reconnect: false,
  });
  await assertRejects(() => connection.connect(), ConnectionError);
  const { hostname, port, virtualHost } = await promise;
  assertEquals({ hostname, port, virtualHost }, { ...defaults, port: 8 });
});

for (const isLate of [false, true]) {
  const when = isLate ? "that is imported late" : "that is there";
  Deno.test(`a scheme with an s behind the name of a transport ${when} means TLS, and its port`, async () => {
    const dialled: unknown[] = [];
    const mine: Transport = {
      name: "mine",
      defaults: { hostname: "there", port: 7, tlsPort: 8 },
      connect: ({ scheme, port }, { tls }) => {
        dialled.push([scheme, port, tls]);
        const code = "connection-failed";
        return Promise.reject(new ConnectionError("nobody is there", { code }));
      },
    };
    const transport = isLate
      ? () => Promise.resolve({ createTransport: () => mine })
      : mine;
    for (const url of ["mine://", "mines://", "mines://:9", "others://"]) {
      await using connection = createConnection(url, {
        transport,
        reconnect: false,
      });
      await assertRejects(() => connection.connect(), ConnectionError);
    }
    assertEquals(dialled, [
      ["mine", 7, undefined],
      ["mines", 8, true],
      ["mines", 9, true],
      ["others", 7, undefined],
    ]);
    await using secured = createConnection("mine://", {
      transport,
      tls: true,
      reconnect: false,
    });
    await assertRejects(() => secured.connect(), ConnectionError);
    assertEquals(dialled.at(-1), ["mine", 8, true]);
  });
}

Deno.test("a clone is like its original, not connected, and apart from it", async () => {
  const original: Connection = createConnection("memory://clone", {
    name: "x",
  });
  await original.connect();
  const clone = original.clone({ virtualHost: "v" });
  assertEquals(clone.connected, false);
  assertEquals(clone.asUri(), "memory://clone/v");
  await original.close();
  await clone.connect();
  await clone.close();
});

for (const drainTimeout of [-1, NaN]) {
  Deno.test(`close() refuses ${drainTimeout} as "drainTimeout", and can be called again`, async () => {
    const connection = createConnection("memory://");
    const consumer = connection.consumer("q");
    for (const each of [consumer, connection]) {
      await assertRejects(() => each.close({ drainTimeout }), RangeError);
    }
    await connection.close();
    assertEquals(connection.state.type, "closed");
  });
}

Deno.test("a connection is printed by its URL, without the password, and its state", async () => {
  const connection = createConnection("amqp://me:hidden@h//");
  assertEquals(
    Deno.inspect(connection),
    "Connection { amqp://me:**@h:5672// idle }",
  );
  await connection.close();
});

Deno.test("send() after close() says that it was to send, whether it has sent before or not", async () => {
  for (const sends of [false, true]) {
    const url = `memory://${crypto.randomUUID()}`;
    const connection = createConnection(url);
    if (sends) await connection.send(new Queue("q"), 1);
    await connection.close();
    await assertRejects(
      () => connection.send("q", 2),
      ClosedError,
      "Cannot send: the connection is closed",
    );
  }
});

Deno.test("a connection that is closed says so before it looks at what it was given", async () => {
  const connection = createConnection(`memory://${crypto.randomUUID()}`);
  await connection.close();
  // deno-lint-ignore no-explicit-any -- as a program without types has it
  const wrong: any = { x: 1 };
  const calls: Record<string, () => unknown> = {
    "make a producer": () => connection.producer(wrong),
    "make a consumer": () => connection.consumer(wrong),
    "make a simple queue": () => connection.simpleQueue(wrong),
    "send": () => connection.send(wrong, 1),
    "request": () => connection.request(1, wrong),
    "schedule": () => connection.schedule("", wrong, wrong),
    "list schedules": () => connection.schedules(wrong),
    "unschedule": () => connection.unschedule(""),
    "look at a queue": () => connection.queue(wrong),
    "inspect": () => connection.inspect(),
  };
  for (const [action, call] of Object.entries(calls)) {
    await assertRejects(
      async () => await call(),
      ClosedError,
      `Cannot ${action}: the connection is closed`,
    );
  }
});

Deno.test("the queues of a broker are listed with options that are known, and others are refused at the call", async () => {
  await using connection = createConnection(`memory://${crypto.randomUUID()}`);
  const wrong: object = { limit: 1 };
  assertThrows(
    () => connection.inspect().queues(wrong),
    OptionError,
    '"limit"',
  );
});
