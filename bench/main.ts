// deno-lint-ignore-file no-top-level-await no-console -- a program for people
/** `deno task bench [amqp url]`: rates beside the raw client's, by turns in one run. */

import { provideBrokers } from "../tests/brokers/mod.ts";
import { benchAmqp } from "./amqp.ts";
import { benchMemory } from "./memory.ts";

await benchMemory();
const [given] = Deno.args;
if (given !== undefined) await benchAmqp(given);
else {
  const brokers = await provideBrokers((line) => console.error(`# ${line}`));
  try {
    const url = brokers.env.DASHI_TEST_AMQP_URL;
    if (url !== undefined) await benchAmqp(url);
  } finally {
    await brokers.stop();
  }
}
