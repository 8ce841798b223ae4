/** Starts a RabbitMQ of the tests' own, on loopback only. */

import { freePort } from "./ports.ts";
import { Program, startServer } from "./program.ts";
import { RabbitmqNode } from "./rabbitmq_node.ts";
import type { BrokerRow, LastingServer } from "./server.ts";

const BINARIES = [
  "/usr/lib/rabbitmq/bin", // Debian: the command on the path changes the user, and so cannot write here
  "/opt/homebrew/opt/rabbitmq/sbin",
  "/usr/local/opt/rabbitmq/sbin",
  "/usr/local/sbin",
];

/** Types of exchanges that tests use. */
const PLUGINS = [
  "rabbitmq_consistent_hash_exchange",
  "rabbitmq_random_exchange",
];

/** RabbitMQ. */
export const RABBITMQ: BrokerRow = {
  name: "AMQP",
  title: "RabbitMQ",
  service: "rabbitmq",
  serviceUrl: "amqp://guest:guest@127.0.0.1:5672//",
  servicePort: 5672,
  packages: ["rabbitmq-server"],
  tests: /amqp|rabbitmq|pika/i,
  isInstalled: () => findRabbitmq() !== undefined,
  version: rabbitmqVersion,
  start: () => startRabbitmq(),
  startLasting: () => startRabbitmq(),
};

/** A RabbitMQ that a test may stop, kill and restart. */
export interface Rabbitmq extends LastingServer {
  /** The URL by TLS, where certificates were given. */
  readonly tlsUrl: string | undefined;
  /** Its name among Erlang's nodes. */
  readonly node: string;
  /** Runs `rabbitmqctl`. */
  control(...args: string[]): Promise<string>;
  /** Evaluates an expression of Erlang's in the server: {@linkcode RabbitmqNode.ask}. */
  ask(expression: string): Promise<string>;
}

/** Returns the path of the server if it is installed, else `undefined`. */
export function findRabbitmq(): string | undefined {
  const given = Deno.env.get("DASHI_TEST_RABBITMQ_BIN");
  const all = given === undefined ? BINARIES : [given];
  return all.find((folder) => {
    try {
      return Deno.statSync(`${folder}/rabbitmq-server`).isFile;
    } catch {
      return false;
    }
  });
}

/** By the name of its folder: `rabbitmqctl version` takes a second. */
function rabbitmqVersion(): string {
  const lib = `${findRabbitmq()}/../lib`;
  try {
    for (const { name } of Deno.readDirSync(lib)) {
      const version = /^rabbitmq_server-(.+)$/.exec(name)?.[1];
      if (version !== undefined) return version;
    }
  } catch {
    // It is laid out otherwise.
  }
  return "unknown";
}

/** The settings that a server of the tests' own is started with. */
export interface RabbitmqOptions {
  readonly config?: string;
  readonly tlsPort?: number;
  /** Plugins beside those of all. */
  readonly plugins?: readonly string[];
  /** The port of Erlang's port mapper, where several servers are to find each other. */
  readonly mapper?: number;
  /** The Erlang cookie that the servers of one cluster share. */
  readonly cookie?: string;
}

/** Starts a server in a new folder. */
export function startRabbitmq(
  options: RabbitmqOptions = {},
): Promise<Rabbitmq> {
  return startServer(
    "rabbitmq",
    (port, folder) => startOn(port, folder, options),
  );
}

async function startOn(
  port: number,
  folder: string,
  options: RabbitmqOptions,
): Promise<Rabbitmq> {
  const binaries = findRabbitmq();
  if (binaries === undefined) throw new Error("RabbitMQ is not installed");
  const { mapper = freePort(), cookie } = options;
  const distribution = freePort();
  if (cookie !== undefined) {
    await Deno.writeTextFile(`${folder}/.erlang.cookie`, cookie, {
      mode: 0o600,
    });
  }
  await Deno.mkdir(`${folder}/data`);
  await Deno.writeTextFile(
    `${folder}/plugins`,
    `[${[...PLUGINS, ...options.plugins ?? []].join(",")}].`,
  );
  // Reading one costs a second of a processor.
  if (options.config !== undefined) {
    await Deno.writeTextFile(`${folder}/rabbitmq.conf`, `${options.config}\n`);
  }
  const node = new RabbitmqNode({
    name: `dashi${port}@localhost`,
    binaries,
    home: folder,
    mapper,
  });
  const env = {
    ...node.env,
    // Not into the folder of whoever started it.
    ERL_CRASH_DUMP: `${folder}/erl_crash.dump`,
    RABBITMQ_NODE_IP_ADDRESS: "127.0.0.1",
    RABBITMQ_NODE_PORT: String(port),
    RABBITMQ_DIST_PORT: String(distribution),
    RABBITMQ_MNESIA_BASE: `${folder}/data`,
    RABBITMQ_LOG_BASE: `${folder}/log`,
    RABBITMQ_PID_FILE: `${folder}/pid`,
    RABBITMQ_ENABLED_PLUGINS_FILE: `${folder}/plugins`,
    RABBITMQ_CONFIG_FILE: `${folder}/rabbitmq`,
    RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS:
      "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}" +
      // A dead letter, and so a delayed message, whose queue is not back yet is sent again after this, ms: three minutes else.
      " -rabbit dead_letter_worker_publisher_confirm_timeout 20000",
  };
  const program = new Program({
    title: `RabbitMQ on port ${port}`,
    command: `${binaries}/rabbitmq-server`,
    args: [],
    env,
    log: `${folder}/console.log`,
    logs: () => [`${folder}/log/${node.name}.log`],
    timeout: 120_000,
    isReady: () => speaksAmqp(port),
  });
  const start = async () => {
    await Deno.remove(`${folder}/pid`).catch(() => {});
    await program.start();
  };
  /** The shell that starts it is not the server. */
  const pid = () => Number(Deno.readTextFileSync(`${folder}/pid`));
  const end = async (signal: Deno.Signal) => {
    Deno.kill(pid(), signal);
    await program.ended();
  };
  const clean = async () => {
    await stopMapper(mapper);
    await Deno.remove(folder, { recursive: true }).catch(() => {});
  };
  try {
    await start();
  } catch (error) {
    // Ending the shell that starts it does not end it.
    await end("SIGKILL").catch(() => {});
    await clean();
    throw error;
  }
  return {
    url: `amqp://guest:guest@127.0.0.1:${port}//`,
    tlsUrl: options.tlsPort === undefined
      ? undefined
      : `amqps://guest:guest@localhost:${options.tlsPort}//`,
    node: node.name,
    told: { NODE: JSON.stringify(node.settings) },
    control: (...args) => node.control(...args),
    ask: (expression) => node.ask(expression),
    get pid() {
      return pid();
    },
    async restart(signal = "SIGTERM") {
      await end(signal);
      await start();
    },
    kill: () => end("SIGKILL"),
    async stop() {
      await end("SIGTERM").catch(() => {});
      await clean();
    },
  };
}

/** The port answers with AMQP's greeting when the broker is ready, and not before. */
async function speaksAmqp(port: number): Promise<boolean> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  try {
    await socket.write(new TextEncoder().encode("AMQP\x00\x00\x09\x01"));
    const timer = setTimeout(() => socket.close(), 1000);
    try {
      return (await socket.read(new Uint8Array(16)) ?? 0) > 0;
    } finally {
      clearTimeout(timer);
    }
  } finally {
    try {
      socket.close();
    } catch {
      // The timer was faster.
    }
  }
}

/** Erlang's port mapper outlives its nodes; this one has a port of its own. */
async function stopMapper(port: number): Promise<void> {
  try {
    await new Deno.Command("epmd", {
      args: ["-port", String(port), "-kill"],
      env: { ERL_EPMD_RELAXED_COMMAND_CHECK: "true" },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).output();
  } catch {
    // Not on the path: it ends with the machine.
  }
}
