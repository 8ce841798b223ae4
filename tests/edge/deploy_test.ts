/** The examples for hosts that run a program for a request: with the permissions that docs/deploy.md names, and no more. */

import { assert, assertEquals } from "@std/assert";
import { createConnection } from "@dashi/mq";
import { PATIENCE, until } from "../conformance/support.ts";
import { onEach } from "../support/targets.ts";

const ROOT = new URL("../../", import.meta.url);
/** Their queue, whose name another test's must not be. */
const QUEUE = /"orders(\.dead)?"/g;
/** A busy machine loads the client for longer than a publish may take there. */
const PATIENT = [["timeout: 2000", "timeout: 60_000"]] as const;

onEach(
  "an example publishes on requests, another one pulls, with the least permissions",
  async (url) => {
    const name = `dashi-deploy-${crypto.randomUUID()}`;
    const folder = await Deno.makeTempDir();
    try {
      await copyExample(folder, "publish.ts", name, PATIENT);
      await copyExample(folder, "pull.ts", name, []);
      {
        await using publisher = await serve(`${folder}/publish.ts`, url);
        const statuses: number[] = [];
        for (const body of ['{"id":1}', '{"id":-2}', "no JSON", '{"id":"1"}']) {
          statuses.push((await publisher.post(body)).status);
        }
        assertEquals(statuses, [202, 202, 400, 400]);
      }
      await using puller = await serve(`${folder}/pull.ts`, url);
      const pulled = async () => JSON.parse((await puller.post("")).text);
      // A busy broker may give them one by one.
      const counts = { handled: 0, failed: 0 };
      await until(async () => {
        const { handled, failed } = await pulled();
        counts.handled += handled;
        counts.failed += failed;
        return counts.handled + counts.failed >= 2;
      }, "both messages");
      assertEquals(counts, { handled: 1, failed: 1 });
      assertEquals(await pulled(), { handled: 0, failed: 0 });
      await using connection = createConnection(url);
      const dead = connection.queue<{ id: number }>(`${name}.dead`);
      const [letter] = await dead.receive({ wait: PATIENCE });
      assertEquals(letter?.payload, { id: -2 });
    } finally {
      await removeQueues(url, name);
      await Deno.remove(folder, { recursive: true });
    }
  },
);

onEach(
  "an example that publishes leaves its broker when it is idle",
  async (url) => {
    const name = `dashi-deploy-${crypto.randomUUID()}`;
    const folder = await Deno.makeTempDir();
    try {
      const changes = [...PATIENT, ["10_000", "50"]] as const;
      await copyExample(folder, "publish.ts", name, changes);
      await Deno.writeTextFile(
        `${folder}/main.ts`,
        `import server from "./publish.ts";
       const body = '{"id":1}';
       const request = new Request("http://localhost/", { method: "POST", body });
       console.log((await server.fetch(request)).status);`,
      );
      // An open connection would keep it.
      const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
        args: ["run", "--quiet", ...flags(url), `${folder}/main.ts`],
        env: { BROKER_URL: url },
        signal: AbortSignal.timeout(60_000),
      }).output();
      assertEquals(new TextDecoder().decode(stderr), "");
      assertEquals([new TextDecoder().decode(stdout), code], ["202\n", 0]);
    } finally {
      await removeQueues(url, name);
      await Deno.remove(folder, { recursive: true });
    }
  },
);

async function copyExample(
  folder: string,
  file: string,
  queue: string,
  changes: readonly (readonly [from: string, to: string])[],
): Promise<void> {
  let text = await Deno.readTextFile(
    new URL(`examples/deploy/${file}`, ROOT),
  );
  for (const [from, to] of changes) {
    assert(text.includes(from), from);
    text = text.replace(from, to);
  }
  assertEquals(text.match(QUEUE)?.length, 2);
  await Deno.writeTextFile(
    `${folder}/${file}`,
    text.replace(QUEUE, `"${queue}$1"`),
  );
}

/** As docs/deploy.md has them. */
function flags(url: string): readonly string[] {
  const { protocol, host } = new URL(url.replace(/^[\w+-]+:/, "http:"));
  assert(protocol === "http:");
  return [
    ...["--no-check", "--no-prompt"],
    `--config=${new URL("deno.json", ROOT).pathname}`,
    ...[`--allow-net=${host}`, "--allow-env=BROKER_URL"],
    ...(/^(redis|mongodb|sqs)/.test(url) ? ["--ignore-env"] : []),
  ];
}

interface Server extends AsyncDisposable {
  post(body: string): Promise<{ status: number; text: string }>;
}

/** Runs an example by `deno serve`. */
async function serve(file: string, url: string): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["serve", "--host=127.0.0.1", "--port=0"].concat(flags(url), file),
    env: { BROKER_URL: url, NO_COLOR: "1" },
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  let place: string | undefined;
  while (place === undefined) {
    const { value, done } = await reader.read();
    assert(!done, said);
    place = /http:\/\/127\.0\.0\.1:\d+\//.exec(said += value)?.[0];
  }
  const address = place;
  return {
    async post(body) {
      const response = await fetch(address, { method: "POST", body });
      return { status: response.status, text: await response.text() };
    },
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}

async function removeQueues(url: string, name: string): Promise<void> {
  await using connection = createConnection(url);
  await connection.queue(name).delete();
  await connection.queue(`${name}.dead`).delete();
}
