// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs the programs of `docs/compare.md`, both of each pair, on brokers of their own, and
 * fails where they do not print the same. With names of pairs it runs those alone;
 * `--write` writes the page.
 */

import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { hasRedis, startRedis } from "../brokers/redis.ts";
import { startFauxqs } from "../brokers/sqs.ts";
import {
  fileOf,
  linesOf,
  page,
  type Pair,
  PAIRS,
  type Side,
  textOf,
} from "./pairs.ts";

/** A program that has not ended by then never will, ms. */
const PATIENCE = 90_000;

const ROOT = new URL("../../", import.meta.url);

interface Server {
  readonly url: string;
  stop(): Promise<void>;
}

const START: Readonly<Record<Pair["broker"], () => Promise<Server>>> = {
  RabbitMQ: () => {
    if (findRabbitmq() === undefined) {
      throw new Error("RabbitMQ is not installed");
    }
    return startRabbitmq();
  },
  Redis: () => {
    if (!hasRedis()) throw new Error("redis-server is not installed");
    return startRedis();
  },
  SQS: () => startFauxqs(),
};

async function run(pair: Pair, side: Side, url: string): Promise<string> {
  const args = ["run", "-A", "--quiet", "--no-check", "--no-lock"];
  const { host } = new URL(url);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [...args, fileOf(pair, side).pathname, url],
    cwd: ROOT.pathname,
    env: {
      NO_COLOR: "1",
      AWS_ENDPOINT_URL: `http://${host}`,
      AWS_ACCESS_KEY_ID: "key",
      AWS_SECRET_ACCESS_KEY: "secret",
      AWS_REGION: "us-east-1",
    },
    signal: AbortSignal.timeout(PATIENCE),
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (success) return text;
  return `${text}${new TextDecoder().decode(stderr)}`;
}

async function main(given: readonly string[]): Promise<number> {
  if (given.includes("--write")) {
    const file = new URL("docs/compare.md", ROOT);
    await Deno.writeTextFile(file, page());
    const fmt = { args: ["fmt", "-q", file.pathname], cwd: ROOT.pathname };
    return (await new Deno.Command(Deno.execPath(), fmt).output()).code;
  }
  const pairs = PAIRS.filter(({ name }) =>
    given.length === 0 || given.includes(name)
  );
  const servers = new Map<Pair["broker"], Server>();
  let failed = 0;
  try {
    for (const pair of pairs) {
      const server = servers.get(pair.broker) ?? await START[pair.broker]();
      servers.set(pair.broker, server);
      const began = performance.now();
      const ours = await run(pair, "dashi", server.url);
      const theirs = await run(pair, "rivals", server.url);
      const lines = [
        linesOf(textOf(pair, "dashi")),
        linesOf(textOf(pair, "rivals")),
      ];
      const isSame = ours === theirs && ours !== "";
      const isFewer = (lines[0] ?? 0) < (lines[1] ?? 0);
      if (!isSame || !isFewer) failed++;
      const took = ((performance.now() - began) / 1000).toFixed(1);
      console.log(
        `${isSame && isFewer ? "ok" : "!!"} ${pair.title}: ${
          lines[0]
        } lines, ${pair.rival} ${lines[1]} (${took} s)`,
      );
      if (!isSame) console.log(`Dashi:\n${ours}\n${pair.rival}:\n${theirs}`);
    }
  } finally {
    await Promise.all([...servers.values()].map((each) => each.stop()));
  }
  console.log(
    `${
      pairs.length - failed
    } of ${pairs.length} print the same, in fewer lines`,
  );
  return failed === 0 ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
