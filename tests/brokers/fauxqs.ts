// deno-lint-ignore-file no-top-level-await -- a program
/** SQS and SNS on loopback, in memory or in a folder: `deno run fauxqs.ts PORT [FOLDER]`. */

import { Server } from "node:net";
import { startFauxqs } from "fauxqs";

/** With a folder it listens on every address, and cannot be told otherwise. */
function onLoopbackOnly(): void {
  Server.prototype.listen = new Proxy(Server.prototype.listen, {
    apply: (listen, server, [options, ...rest]) =>
      Reflect.apply(listen, server, [
        { ...options, host: "127.0.0.1" },
        ...rest,
      ]),
  });
}

if (import.meta.main) {
  const [port, dataDir] = Deno.args;
  onLoopbackOnly();
  await startFauxqs({
    port: Number(port),
    logger: false,
    ...dataDir === undefined ? {} : { dataDir },
  });
}
