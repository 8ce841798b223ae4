// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** A handler that fails is called again; a message that always fails becomes a dead letter. */

import process from "node:process";
import { createConnection, Queue } from "@dashi/mq";

const url = process.env.DASHI_URL ?? "amqp://guest:guest@localhost//";
const connection = createConnection(url);
const mails = new Queue<{ to: string }>("mails", { deadLetter: "mails.dead" });
const known = ["ada"];

const consumer = connection.consumer(mails);
const running = consumer.run(({ payload, attempt }) => {
  console.log(`mail to ${payload.to}, attempt ${attempt}`);
  if (!known.includes(payload.to)) throw new Error("no such mailbox");
  if (payload.to === "eve") void consumer.cancel(); // the end of this program
}, { retry: { attempts: 3, initialDelay: 100 } });
await connection.send(mails, { to: "ada" });
await connection.send(mails, { to: "eve" });

// Somebody looks at the dead letter, mends the cause, and puts it back.
const dead = connection.simpleQueue<{ to: string }>("mails.dead");
const message = await dead.get();
const { payload, headers } = message;
console.log(`dead: mail to ${payload.to}: ${headers["x-error-message"]}`);
await message.requeue();
await dead.close();
known.push("eve");
console.log("eve has a mailbox now: the message is put back");
await connection.redrive("mails.dead");

await running;
await connection.close();
