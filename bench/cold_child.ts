// deno-lint-ignore-file no-console no-top-level-await -- a program for another one
/** Does what a function does that was not running: imports, connects, publishes, closes; prints the milliseconds of each. */

const [url = "memory://"] = Deno.args;
const moments = [performance.now()];
const took = () => moments.push(performance.now());

const { createConnection, Queue } = await import("@dashi/mq");
took();
const connection = createConnection(url);
await connection.connect();
took();
await connection.send(new Queue("dashi-bench-cold"), { id: 1 });
took();
await connection.close();
took();
console.log(
  JSON.stringify(moments.slice(1).map((end, i) => end - (moments[i] ?? 0))),
);
