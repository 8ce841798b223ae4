// deno-lint-ignore-file no-top-level-await -- a program
/** SQS and SNS in memory, on loopback: `deno run fauxqs.ts PORT`. */

import { buildApp } from "fauxqs";

if (import.meta.main) {
  const app = buildApp({ logger: false });
  const [port] = Deno.args;
  await app.listen({ port: Number(port), host: "127.0.0.1" });
}
