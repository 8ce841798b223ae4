/** Starts a master, a replica and three sentinels of the tests' own, on loopback only. */

import { type RedisServer, startRedis } from "./redis.ts";
import { freePort, until } from "./server.ts";

/** A master's name for the sentinels. */
export const MASTER = "dashi";

/** A master and its standby. */
export interface Sentinels {
  /** The URL that names all three sentinels. */
  readonly url: string;
  /** The server that was the master at first. */
  readonly master: RedisServer;
  /** The server that was its replica at first. */
  readonly replica: RedisServer;
  /** The sentinels, in the order of the URL. */
  readonly sentinels: readonly RedisServer[];
  /** Ends all. */
  stop(): Promise<void>;
}

/** Starts them, and waits until the sentinels know each other and the replica. */
export async function startSentinels(): Promise<Sentinels> {
  // A master without its replica takes nothing: what it confirms is in both.
  const guarded = ["--min-replicas-to-write", "1", "--min-replicas-max-lag"]
    .concat(
      "2",
      "--repl-diskless-sync-delay",
      "0",
      "--repl-ping-replica-period",
    )
    .concat("1");
  const servers: RedisServer[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    const master = await startRedis({ arguments: guarded });
    servers.push(master);
    const replica = await startRedis({
      arguments: [...guarded, "--replicaof", "127.0.0.1", String(master.port)],
    });
    servers.push(replica);
    const sentinels = await Promise.all(
      Array.from({ length: 3 }, () => startSentinel(master.port)),
    );
    servers.push(...sentinels);
    const [first] = sentinels;
    await until("The sentinels", 60_000, async () => {
      const answers = await Promise.all(
        sentinels.map((each) => each.command("SENTINEL", "MASTER", MASTER)),
      );
      return first !== undefined &&
        answers.every((answer) =>
          /num-slaves\r\n\$1\r\n1/.test(answer) &&
          /num-other-sentinels\r\n\$1\r\n2/.test(answer) &&
          /flags\r\n\$6\r\nmaster\r\n/.test(answer)
        );
    });
    return {
      url: sentinels.map(({ port }) => `sentinel://127.0.0.1:${port}`)
        .join(";"),
      master,
      replica,
      sentinels,
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startSentinel(master: number): Promise<RedisServer> {
  const config = await Deno.makeTempFile({ suffix: ".conf" });
  await Deno.writeTextFile(
    config,
    [
      `sentinel monitor ${MASTER} 127.0.0.1 ${master} 2`,
      `sentinel down-after-milliseconds ${MASTER} 1000`,
      `sentinel failover-timeout ${MASTER} 5000`,
    ].join("\n"),
  );
  const server = await startRedis({
    port: freePort(),
    program: [config, "--sentinel"],
  });
  return {
    ...server,
    async stop() {
      await server.stop();
      await Deno.remove(config);
    },
  };
}
