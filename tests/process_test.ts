import { assert, assertEquals } from "@std/assert";
import { SLACK } from "./support/slack.ts";

const ROOT = new URL("../", import.meta.url);
const url = Deno.env.get("DASHI_TEST_AMQP_URL");
const reason = Deno.env.get("DASHI_TEST_AMQP_REASON") ?? "there is no broker";

const PROGRAM = `
  import { createConnection, Queue } from "@dashi/mq";
  const connection = createConnection(URL_HERE);
  const queue = new Queue("", { exclusive: true });
  const status = await connection.declare(queue);
  await connection.producer().publish("hello", { routingKey: status.name });
  for await (const message of connection.consumer(queue)) {
    await message.ack();
    console.log(message.payload);
    break;
  }
  await connection.close();
  console.log(Date.now());
`;

/** Runs a program with these permissions and no others, and says how it ended. */
async function runProgram(
  program: string,
  permissions: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly output: string; readonly exitedAfter: number }> {
  const file = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    await Deno.writeTextFile(file, program);
    const child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--no-prompt",
        "--no-check",
        "--config",
        new URL("deno.json", ROOT).pathname,
        ...permissions,
        file,
      ],
      env: { NO_COLOR: "1", ...env },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { stdout, stderr, success } = await child.output();
    const output = new TextDecoder().decode(stdout).trim();
    assert(success, new TextDecoder().decode(stderr));
    const [, closedAt = "0"] = output.split("\n");
    return {
      output,
      exitedAfter: Date.now() - Number(closedAt),
    };
  } finally {
    await Deno.remove(file);
  }
}

Deno.test("memory:// runs without any permission, and the process ends by itself", async () => {
  const { output, exitedAfter } = await runProgram(
    PROGRAM.replace("URL_HERE", '"memory://"'),
    [],
  );
  assertEquals(output.split("\n")[0], "hello");
  assert(exitedAfter < SLACK, `${exitedAfter} ms`);
});

for (const scheme of ["amqp", "pika"]) {
  Deno.test({
    name:
      `${scheme}:// runs with --allow-net=host:port alone, and the process ends by itself${
        url === undefined ? ` (${reason})` : ""
      }`,
    ignore: url === undefined,
    fn: async () => {
      const host = /@([^/]+)/.exec(url ?? "")?.[1];
      const { output, exitedAfter } = await runProgram(
        PROGRAM.replace(
          "URL_HERE",
          JSON.stringify(url?.replace(/^\w+/, scheme)),
        ),
        [`--allow-net=${host}`],
      );
      assertEquals(output.split("\n")[0], "hello");
      assert(exitedAfter < SLACK, `${exitedAfter} ms`);
    },
  });
}

const sqsUrl = Deno.env.get("DASHI_TEST_SQS_URL");
const sqsReason = Deno.env.get("DASHI_TEST_SQS_REASON") ?? "there is no broker";
Deno.test({
  name: `sqs:// runs with the net alone, and the process ends by itself${
    sqsUrl === undefined ? ` (${sqsReason})` : ""
  }`,
  ignore: sqsUrl === undefined,
  fn: async () => {
    const { host } = new URL((sqsUrl ?? "").replace(/^\w+:/, "http:"));
    const { output, exitedAfter } = await runProgram(
      PROGRAM.replace(
        "URL_HERE",
        JSON.stringify(`sqs://key:secret@${host}/?wait_time_seconds=1`),
      ).replace("{ exclusive: true }", "{ autoDelete: true }"),
      // No file, and of the environment nothing: the SDK is told all that it needs.
      [`--allow-net=${host}`, "--ignore-env"],
    );
    assertEquals(output.split("\n")[0], "hello");
    assert(exitedAfter < SLACK, `it took ${exitedAfter} ms`);
  },
});

const redisUrl = Deno.env.get("DASHI_TEST_REDIS_URL");
const redisReason = Deno.env.get("DASHI_TEST_REDIS_REASON") ??
  "there is no broker";
Deno.test({
  name:
    `redis:// runs with --allow-net=host:port and --ignore-env, and the process ends by itself${
      redisUrl === undefined ? ` (${redisReason})` : ""
    }`,
  ignore: redisUrl === undefined,
  fn: async () => {
    const host = /([^/@]+)\/\d*$/.exec(redisUrl ?? "")?.[1];
    const { output, exitedAfter } = await runProgram(
      PROGRAM.replace("URL_HERE", JSON.stringify(redisUrl)),
      // Its client reads all variables when it is loaded.
      [`--allow-net=${host}`, "--ignore-env"],
    );
    assertEquals(output.split("\n")[0], "hello");
    assert(exitedAfter < SLACK, `it took ${exitedAfter} ms`);
  },
});

Deno.test({
  name: `sqs:// finds the environment's credentials when it is told to${
    sqsUrl === undefined ? ` (${sqsReason})` : ""
  }`,
  ignore: sqsUrl === undefined,
  fn: async () => {
    const { host } = new URL((sqsUrl ?? "").replace(/^\w+:/, "http:"));
    const connect = (options: string) => `
      import { createConnection } from "@dashi/mq";
      const connection = createConnection("sqs://${host}", ${options});
      console.log(await connection.connect().then(() => "ok", ({ code }) => code));
      await connection.close();
    `;
    const env = {
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_REGION: "eu-west-1",
    };
    const told = '{ transportOptions: { credentials: "default" } }';
    for (
      const [options, expected] of [["{}", "option-invalid"], [told, "ok"]]
    ) {
      const { output } = await runProgram(connect(options ?? ""), ["-A"], env);
      assertEquals(output, expected);
    }
  },
});
