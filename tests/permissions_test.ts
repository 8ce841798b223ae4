import { assert, assertEquals } from "@std/assert";
import { TARGETS } from "./support/targets.ts";

const ROOT = new URL("../", import.meta.url);
const BROKERS = Deno.readTextFileSync(new URL("docs/brokers.md", ROOT));
/** Whom docs/brokers.md names as needing more than the net. */
const NEED_ENV = BROKERS.split("\n")
  .filter((line) => line.startsWith("|") && line.includes("--ignore-env"))
  .flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(\w+)`/g)])
  .map(([, name]) => name);

const PROGRAM = `
  import { createConnection, Queue } from "@dashi/mq";
  const [url, transport] = Deno.args;
  const connection = createConnection(url, { transport, connectTimeout: 30000 });
  const queue = new Queue("permissions-" + crypto.randomUUID());
  await connection.declare(queue);
  for (const options of [{}, { compression: "gzip" }, { serializer: "yaml" }, { serializer: "msgpack" }]) {
    await connection.producer().publish({ a: 1 }, { routingKey: queue.name, ...options });
  }
  let count = 0;
  for await (const message of connection.consumer(queue, { accept: ["json", "yaml", "msgpack"] })) {
    if (message.payload.a !== 1) throw new Error("another payload");
    await message.ack();
    if (++count === 4) break;
  }
  await (await connection.channel()).deleteQueue(queue.name);
  await connection.close();
  console.log("works");
`;

Deno.test("docs/brokers.md names who needs the environment", () => {
  assert(NEED_ENV.length > 0);
});

Deno.test("sqlite: the permissions that docs/brokers.md names are enough", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const files = `${folder}/files`;
    await Deno.mkdir(files);
    await Deno.writeTextFile(`${folder}/main.ts`, PROGRAM);
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--quiet",
        "--no-prompt",
        "--no-check",
        `--config=${new URL("deno.json", ROOT).pathname}`,
        `--allow-read=${files}`,
        `--allow-write=${files}`,
        `${folder}/main.ts`,
        `sqlite:${files}/orders.db`,
        "sqlite",
      ],
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const text = new TextDecoder();
    assertEquals(text.decode(stdout).trim(), "works", text.decode(stderr));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

for (const { name, url, reason } of TARGETS) {
  Deno.test({
    name: `${name}: the permissions that docs/brokers.md names are enough${
      url === undefined ? ` (${reason})` : ""
    }`,
    ignore: url === undefined,
    fn: async () => {
      const place = /([^/@]+:\d+)/.exec(url?.replace(/^.*@/, "") ?? "")?.[1];
      const host = place?.replace(/^\w+:\/\//, "");
      const file = await Deno.makeTempFile({ suffix: ".ts" });
      try {
        await Deno.writeTextFile(file, PROGRAM);
        const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
          args: [
            "run",
            "--quiet",
            "--no-prompt",
            "--no-check",
            `--config=${new URL("deno.json", ROOT).pathname}`,
            `--allow-net=${host}`,
            ...(NEED_ENV.includes(name) ? ["--ignore-env"] : []),
            file,
            url ?? "",
            name,
          ],
          env: { NO_COLOR: "1" },
          stdin: "null",
        }).output();
        const text = new TextDecoder();
        assertEquals(text.decode(stdout).trim(), "works", text.decode(stderr));
      } finally {
        await Deno.remove(file);
      }
    },
  });
}
