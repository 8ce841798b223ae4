// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Runs the conformance suites on the newest servers that can be had, and on other
 * stand-ins: `deno task test:newest [NAME…]`. It installs them in the user's cache folder,
 * starts each on loopback, one after the other, and says of one that cannot be had why.
 */

import { provideBrokers } from "../brokers/mod.ts";
import { POSTGRES } from "../brokers/postgres.ts";
import { RABBITMQ } from "../brokers/rabbitmq.ts";
import { REDIS } from "../brokers/redis.ts";
import type { BrokerRow } from "../brokers/server.ts";
import { count, type Counts, failures, readReport } from "../results.ts";
import { type DebianRoot, openRoot } from "./debian.ts";
import { installQpid, OPEN_ON_QPID } from "./qpid.ts";
import { installElasticmq, installMoto, type StandIn } from "./stand_ins.ts";

const ROOT = new URL("../..", import.meta.url).pathname;

/** A server that is ready for its tests. */
interface Ready {
  readonly version: string;
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** Seen with AWS's own SDK: six that receive at once had one of 200 messages twice. */
const TWICE = "moto at times hands a message to two requests at once";

/** A server to run tests on. */
interface Row {
  readonly title: string;
  readonly files: readonly string[];
  /** Cases that do not hold on it, by name, and why. */
  readonly open?: Readonly<Record<string, string>>;
  /** Installs and starts it; throws where it cannot be had. */
  provide(): Promise<Ready>;
}

const say = (line: string) => console.error(`# ${line}`);

/** Opened with the first need, and once. */
let opening: Promise<DebianRoot> | undefined;
const root = () =>
  opening ??= openRoot(say).then((opened) => {
    Deno.env.set("TMPDIR", opened.shared);
    return opened;
  });

const ROWS: readonly Row[] = [
  {
    title: "RabbitMQ",
    files: [
      "tests/transports/amqp/amqp_test.ts",
      "tests/transports/amqp_client/amqp_client_test.ts",
      ...["broker", "delay", "delayed_retry", "quorum", "server", "stream"]
        .concat("errors", "fields", "ordered", "parity", "settings")
        .map((name) => `tests/transports/amqp/${name}_test.ts`),
    ],
    provide: async () => {
      const { path, commands } = await root();
      const bin = "/usr/lib/rabbitmq/bin";
      const folder = await commands("rabbitmq/bin", pathsIn(path, bin));
      const lib = `${folder}/../lib`;
      await Deno.remove(lib).catch(() => {});
      await Deno.symlink(`${path}/usr/lib/rabbitmq/lib`, lib);
      const erlang = await commands("erlang", {
        erl_call: "/usr/lib/erlang/bin/erl_call",
        epmd: "/usr/bin/epmd",
      });
      const env = { DASHI_TEST_RABBITMQ_BIN: folder, ...onPath(erlang) };
      return await provideBy(RABBITMQ, env);
    },
  },
  redisLike("Redis", "redis-server"),
  redisLike("Valkey", "valkey-server"),
  {
    title: "PostgreSQL",
    files: ["tests/transports/postgres/postgres_test.ts"],
    provide: async () => {
      const { path, commands } = await root();
      const bin = "/usr/lib/postgresql/18/bin";
      const paths = pathsIn(path, bin);
      // It refuses to run as root.
      const folder = await commands("postgresql", paths, "postgres:postgres");
      return await provideBy(POSTGRES, { DASHI_TEST_POSTGRES_BIN: folder });
    },
  },
  {
    title: "Qpid",
    // By one client: what they do is in the protocol's code, which both share.
    files: ["tests/transports/amqp/amqp_test.ts"],
    open: OPEN_ON_QPID,
    provide: async () => {
      const { version, start } = await installQpid();
      const server = await start();
      return {
        version,
        env: {
          DASHI_TEST_AMQP_URL: server.url,
          // What restarts a broker would restart RabbitMQ.
          DASHI_TEST_RABBITMQ_BIN: "/none",
        },
        stop: () => server.stop(),
      };
    },
  },
  standIn("moto", installMoto, {}, {
    "of two redrives at once each takes its own, and each dead letter is put back once":
      TWICE,
    "get() beside a consumer of the same channel: each settles its own": TWICE,
  }),
  standIn("ElasticMQ", installElasticmq, {
    // It has no SNS.
    DASHI_TEST_SQS_OPTIONS: "&fanout=queue",
  }, {
    "a consumer ends when its queue is deleted":
      "ElasticMQ lets a receive wait on in a queue that was deleted",
  }),
];

function redisLike(title: string, program: string): Row {
  return {
    title,
    files: ["tests/transports/redis/redis_test.ts"],
    provide: async () => {
      const { commands } = await root();
      const folder = await commands(program, {
        "redis-server": `/usr/bin/${program}`,
      });
      return await provideBy(REDIS, onPath(folder));
    },
  };
}

function standIn(
  title: string,
  install: () => Promise<StandIn>,
  env: Readonly<Record<string, string>>,
  open: Readonly<Record<string, string>>,
): Row {
  return {
    title,
    files: ["tests/transports/sqs/sqs_test.ts"],
    open,
    provide: async () => {
      const { version, start } = await install();
      const server = await start();
      return {
        version,
        env: { ...env, DASHI_TEST_SQS_URL: server.url },
        stop: () => server.stop(),
      };
    },
  };
}

/** Starts a server by the tests' own starter, with the variables by which that finds its programs. */
async function provideBy(
  row: BrokerRow,
  env: Readonly<Record<string, string>>,
): Promise<Ready> {
  const before = Object.keys(env).map((name) =>
    [name, Deno.env.get(name)] as const
  );
  for (const [name, value] of Object.entries(env)) Deno.env.set(name, value);
  const restore = () => {
    for (const [name, value] of before) {
      if (value === undefined) Deno.env.delete(name);
      else Deno.env.set(name, value);
    }
  };
  try {
    const provided = await provideBrokers(say, [row]);
    const [broker] = provided.brokers;
    const reason = provided.env[`DASHI_TEST_${row.name}_REASON`];
    if (broker === undefined || reason !== undefined) throw new Error(reason);
    return {
      version: broker.version,
      env: { ...env, ...provided.env },
      async stop() {
        await provided.stop();
        restore();
      },
    };
  } catch (error) {
    restore();
    throw error;
  }
}

function pathsIn(root: string, folder: string): Record<string, string> {
  const names = [...Deno.readDirSync(`${root}${folder}`)];
  return Object.fromEntries(
    names.map(({ name }) => [name, `${folder}/${name}`]),
  );
}

function onPath(folder: string): Record<string, string> {
  return { PATH: `${folder}:${Deno.env.get("PATH")}` };
}

interface Outcome {
  readonly title: string;
  readonly version: string;
  /** Why it could not be had. */
  readonly reason?: string;
  readonly counts: Counts;
  readonly seconds: number;
  readonly failed: string;
}

async function test(row: Row): Promise<Outcome> {
  const { title, files, open = {} } = row;
  const began = performance.now();
  const told = (
    version: string,
    counts: Counts,
    more: { readonly reason?: string; readonly failed?: string } = {},
  ): Outcome => ({
    title,
    version,
    counts,
    failed: "",
    ...more,
    seconds: Math.round((performance.now() - began) / 1000),
  });
  let ready: Ready;
  try {
    ready = await row.provide();
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    const reason = text.split("\n")[0] ?? text;
    say(`${title} cannot be had: ${reason}`);
    return told("", { passed: 0, failed: 0, skipped: 0 }, { reason });
  }
  const report = await Deno.makeTempFile({ suffix: ".xml" });
  try {
    say(`${title} ${ready.version}: ${files.length} files …`);
    const { code } = await new Deno.Command(Deno.execPath(), {
      args: ["test", "-A", "--no-check", "--parallel"]
        .concat(`--junit-path=${report}`, files),
      cwd: ROOT,
      env: {
        ...ready.env,
        DASHI_TEST: "1",
        DASHI_TEST_OPEN: JSON.stringify(open),
      },
      stdin: "null",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn().status;
    const results = readReport(await Deno.readTextFile(report));
    const counts = count(results);
    if (code !== 0 && counts.failed === 0) counts.failed = 1; // it has no report
    return told(ready.version, counts, { failed: failures(results, 4) });
  } finally {
    await Deno.remove(report);
    await ready.stop();
  }
}

async function main(names: readonly string[]): Promise<number> {
  const wanted = ROWS.filter(({ title }) =>
    names.length === 0 ||
    names.some((name) => name.toLowerCase() === title.toLowerCase())
  );
  if (wanted.length === 0) {
    console.error(
      `There is no ${names.join(", ")}: name some of ${
        ROWS.map(({ title }) => title).join(", ")
      }`,
    );
    return 2;
  }
  const outcomes: Outcome[] = [];
  try {
    for (const row of wanted) outcomes.push(await test(row));
  } finally {
    const opened = await opening?.catch(() => undefined);
    await opened?.[Symbol.asyncDispose]();
  }
  for (const { failed } of outcomes) if (failed !== "") console.log(failed);
  console.log();
  for (const { title, version, reason, counts, seconds } of outcomes) {
    const { passed, failed, skipped } = counts;
    console.log(
      reason === undefined
        ? `${
          `${title} ${version}`.padEnd(20)
        } ${passed} passed, ${failed} failed, ${skipped} skipped (${seconds} s)`
        : `${title.padEnd(20)} cannot be had: ${reason}`,
    );
  }
  const sum = (of: keyof Counts) =>
    outcomes.reduce((all, { counts }) => all + counts[of], 0);
  console.log(
    `\n${sum("passed")} passed, ${sum("failed")} failed, ${
      sum("skipped")
    } skipped`,
  );
  return sum("failed") > 0 || sum("passed") === 0 ? 1 : 0;
}

Deno.exit(await main(Deno.args));
