import { DatabaseSync } from "node:sqlite";
import { createTransport } from "@dashi/mq/sqlite";
import { connect } from "../../conformance/broker.ts";

Deno.test("a file that another process is making is waited for when it is opened", async () => {
  const folder = await Deno.makeTempDir({ prefix: "dashi-sqlite-" });
  const other = new DatabaseSync(`${folder}/new.db`);
  try {
    other.exec("BEGIN EXCLUSIVE; CREATE TABLE other (x)");
    const opening = connect({
      transport: createTransport(),
      url: `sqlite:${folder}/new.db`,
      [Symbol.asyncDispose]: async () => {},
    });
    setTimeout(() => other.exec("COMMIT"), 20);
    await using _connection = await opening;
  } finally {
    other.close();
    await Deno.remove(folder, { recursive: true });
  }
});
