// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const mails = new Queue<string>("mails", { deadLetter: "mails.dead" });
await using connection = createConnection(url);
for (const to of ["ada", "bad", "eve"]) await connection.send(mails, to);

connection.consumer(mails).run(({ payload }) => {
  if (payload === "bad") throw new Error("no such mailbox");
  console.log("sent", payload);
}, { retry: { attempts: 3, backoff: 50 } });

const dead = connection.simpleQueue<string>("mails.dead");
const letter = await dead.get({ timeout: 10_000 });
console.log("dead", letter?.payload, letter?.headers["x-error-message"]);
await letter?.ack();
