/** Starts fauxqs, a stand-in for SQS and SNS, on loopback only. */

import { type BrokerRow, freePort, type Server, until } from "./server.ts";

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
  start: () => startFauxqs(),
};

/** Starts a server that keeps all in memory. */
export async function startFauxqs(port: number = freePort()): Promise<Server> {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-A",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      new URL("fauxqs.ts", import.meta.url).pathname,
      String(port),
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const end = async (signal: Deno.Signal) => {
    try {
      child.kill(signal);
    } catch {
      // It has ended.
    }
    await child.status;
  };
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
  return {
    url: `sqs://key:secret@127.0.0.1:${port}`,
    kill: () => end("SIGKILL"),
    stop: () => end("SIGTERM"),
  };
}
