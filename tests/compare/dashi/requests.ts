// deno-lint-ignore-file no-console no-top-level-await -- a program
import { createConnection, Queue } from "@dashi/mq";

const [url = ""] = Deno.args;
const sums = new Queue<number[]>("sums");
await using connection = createConnection(url);
await connection.declare(sums);
connection.consumer(sums).serve(({ payload }) => {
  if (payload.length === 0) throw new RangeError("nothing to add");
  return payload.reduce((sum, each) => sum + each);
});

const to = { routingKey: "sums", timeout: 5000 };
console.log(await connection.request<number>([1, 2, 3], to));
await connection.request([], to).catch((error) => {
  console.log(error.remoteName, error.message);
});
