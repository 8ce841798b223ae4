/** Other stand-ins for SQS than that of `deno task test`: moto and ElasticMQ. */

import { Program, startServer } from "../brokers/program.ts";
import { run, type Server } from "../brokers/server.ts";
import { cacheFolder } from "../support/cache.ts";
import { installFromMaven } from "./maven.ts";

const MOTO = "5.2.5";
const ELASTICMQ = "1.6.12";

/** A stand-in that was installed. */
export interface StandIn {
  readonly version: string;
  start(): Promise<Server>;
}

/** Installs moto's server from PyPI. */
export async function installMoto(): Promise<StandIn> {
  const folder = await cacheFolder(`moto-${MOTO}`);
  const command = `${folder}/bin/moto_server`;
  try {
    await Deno.stat(command);
  } catch {
    await run("python3", ["-m", "venv", folder]);
    await run(`${folder}/bin/pip`, [
      "install",
      "--quiet",
      `moto[server,sqs,sns]==${MOTO}`,
    ]);
  }
  const start = (port: number, folder: string) =>
    started("moto", port, folder, command, [
      "-H",
      "127.0.0.1",
      "-p",
      String(port),
    ]);
  return { version: MOTO, start: () => startServer("moto", start) };
}

/** Installs ElasticMQ from Maven: it has queues, and no topics. */
export async function installElasticmq(): Promise<StandIn> {
  const installed = await installFromMaven("elasticmq", ELASTICMQ, [
    `org.elasticmq:elasticmq-server_2.13:${ELASTICMQ}`,
  ]);
  return {
    version: ELASTICMQ,
    start: () =>
      startServer("elasticmq", async (port, folder) => {
        const config = `${folder}/elasticmq.conf`;
        await Deno.writeTextFile(
          config,
          `include classpath("application.conf")
node-address { host = "127.0.0.1", port = ${port} }
rest-sqs { bind-hostname = "127.0.0.1", bind-port = ${port} }
rest-stats { enabled = false }
`,
        );
        return await started("ElasticMQ", port, folder, "java", [
          "-Xmx256m",
          `-Dconfig.file=${config}`,
          "-cp",
          `${installed}/lib/*`,
          "org.elasticmq.server.Main",
        ]);
      }),
  };
}

async function started(
  title: string,
  port: number,
  folder: string,
  command: string,
  args: readonly string[],
): Promise<Server> {
  const program = new Program({
    title: `${title} on port ${port}`,
    command,
    args,
    cwd: folder,
    log: `${folder}/log`,
    timeout: 120_000,
    isReady: async (signal) => {
      const answer = await fetch(`http://127.0.0.1:${port}/`, { signal });
      await answer.body?.cancel();
      return true; // whatever it says
    },
  });
  await program.start();
  return {
    url: `sqs://key:secret@127.0.0.1:${port}`,
    kill: () => program.end("SIGKILL"),
    async stop() {
      await program.end("SIGTERM");
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}
