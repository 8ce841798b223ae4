// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/** `deno task bench [url]`: rates beside the raw client's, by turns in one run. */

import { provideBrokers } from "../tests/brokers/mod.ts";
import { benchAmqp } from "./amqp.ts";
import { benchBeanstalk } from "./beanstalk.ts";
import { benchMemory } from "./memory.ts";

const BENCHES: Readonly<Record<string, (url: string) => Promise<void>>> = {
  AMQP: benchAmqp,
  BEANSTALK: benchBeanstalk,
};

const [given] = Deno.args;
if (given !== undefined) {
  const scheme = new URL(given).protocol.replace(/s?:$/, "").toUpperCase();
  await BENCHES[scheme]?.(given);
} else {
  await benchMemory();
  const brokers = await provideBrokers((line) => console.error(`# ${line}`));
  try {
    for (const [name, bench] of Object.entries(BENCHES)) {
      const url = brokers.env[`DASHI_TEST_${name}_URL`];
      if (url !== undefined) await bench(url);
    }
  } finally {
    await brokers.stop();
  }
}
