// deno-lint-ignore-file no-top-level-await -- what the database can do must be known before its cases are named
import { DatabaseSync } from "node:sqlite";
import {
  createTransport,
  inTransaction,
} from "../../../transports/sqlite/mod.ts";
import { registerConformance } from "../../support/register.ts";

const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(folder, { recursive: true }),
);

await registerConformance("sqlite", {
  transport: createTransport(),
  url: `sqlite:${folder}/suite.db`,
  shortLease: { visibilityTimeout: 2000 },
  async transact(work) {
    const database = new DatabaseSync(`${folder}/suite.db`);
    try {
      return await inTransaction(database, work);
    } finally {
      database.close();
    }
  },
});
