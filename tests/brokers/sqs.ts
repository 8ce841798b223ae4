/** Starts fauxqs, a stand-in for SQS and SNS, on loopback only. */

import {
  type BrokerRow,
  freePort,
  type LastingServer,
  until,
} from "./server.ts";

/** SQS and SNS. */
export const SQS: BrokerRow = {
  name: "SQS",
  title: "SQS and SNS (fauxqs)",
  service: "localstack",
  serviceUrl: "sqs://key:secret@127.0.0.1:4566",
  servicePort: 4566,
  packages: [],
  // Deno has it from npm with the first start.
  isInstalled: () => true,
  start: () => startFauxqs({ keepsData: false }),
  startLasting: () => startFauxqs(),
};

/** Starts a server that keeps all in memory, or in a new folder. */
export async function startFauxqs(
  options: { readonly keepsData: boolean } = { keepsData: true },
): Promise<LastingServer> {
  const folder = options.keepsData
    ? await Deno.makeTempDir({ prefix: "dashi-fauxqs-" })
    : undefined;
  const port = freePort();
  let child: Deno.ChildProcess | undefined;
  const end = async (signal: Deno.Signal) => {
    try {
      child?.kill(signal);
    } catch {
      // It has ended.
    }
    await child?.status;
  };
  const start = async () => {
    child = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-A",
        "--config",
        new URL("../../deno.json", import.meta.url).pathname,
        new URL("fauxqs.ts", import.meta.url).pathname,
        String(port),
        ...folder === undefined ? [] : [folder],
      ],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    try {
      await until(`fauxqs on port ${port}`, 60_000, async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/health`);
        await answer.body?.cancel();
        return answer.ok;
      });
    } catch (error) {
      await end("SIGKILL");
      throw error;
    }
  };
  await start();
  return {
    url: `sqs://key:secret@127.0.0.1:${port}`,
    get pid() {
      return child?.pid ?? 0;
    },
    async restart(signal = "SIGTERM") {
      await end(signal);
      await start();
    },
    kill: () => end("SIGKILL"),
    async stop() {
      await end("SIGTERM");
      if (folder === undefined) return;
      await Deno.remove(folder, { recursive: true }).catch(() => {});
    },
  };
}
