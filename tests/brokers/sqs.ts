/** Starts fauxqs, a stand-in for SQS and SNS, on loopback only. */

import manifest from "../../deno.json" with { type: "json" };
import { Program, serverOf, startServer } from "./program.ts";
import type { BrokerRow, LastingServer } from "./server.ts";

/** SQS and SNS. */
export const SQS: BrokerRow = {
  name: "SQS",
  title: "SQS and SNS (fauxqs)",
  service: "localstack",
  serviceUrl: "sqs://key:secret@127.0.0.1:4566",
  servicePort: 4566,
  packages: [],
  tests: /sqs|sns/i,
  version: () => manifest.imports.fauxqs.split("@").at(-1) ?? "unknown",
  // Deno has it from npm with the first start.
  isInstalled: () => true,
  start: () => startFauxqs({ keepsData: false }),
  startLasting: () => startFauxqs(),
};

/** Starts a server that keeps all in memory, or in a new folder. */
export function startFauxqs(
  options: { readonly keepsData: boolean } = { keepsData: true },
): Promise<LastingServer> {
  return startServer(
    "fauxqs",
    (port, folder) => startOn(port, folder, options.keepsData),
  );
}

async function startOn(
  port: number,
  folder: string,
  keepsData: boolean,
): Promise<LastingServer> {
  const program = new Program({
    title: `fauxqs on port ${port}`,
    command: Deno.execPath(),
    args: [
      "run",
      "-A",
      "--config",
      new URL("../../deno.json", import.meta.url).pathname,
      new URL("fauxqs.ts", import.meta.url).pathname,
      String(port),
      ...keepsData ? [`${folder}/data`] : [],
    ],
    log: `${folder}/log`,
    timeout: 120_000,
    isReady: async (signal) => {
      const answer = await fetch(`http://127.0.0.1:${port}/health`, { signal });
      await answer.body?.cancel();
      return answer.ok;
    },
  });
  await Deno.mkdir(`${folder}/data`);
  await program.start();
  return serverOf(program, { folder }, {
    url: `sqs://key:secret@127.0.0.1:${port}`,
  });
}
