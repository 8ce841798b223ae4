// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/** Takes the picture of `dashi ui` in `docs/`: `deno task picture`. */

import { type Connection, createConnection, Queue } from "@dashi/mq";
import { startBeanstalk } from "../../brokers/beanstalk.ts";
import { startRedis } from "../../brokers/redis.ts";
import { run } from "../../brokers/server.ts";
import { startBrowser } from "../../support/browser.ts";
import { startManagedRabbitmq } from "../../support/managed_rabbitmq.ts";
import { startUi } from "../../support/ui.ts";

const FILE = new URL("../../../docs/ui.png", import.meta.url).pathname;
/** How long messages flow before it is taken, ms. */
const TIME = 50_000;

/** The queues of each broker: how many messages lie in one, and how many come in a second. */
const QUEUES: readonly Readonly<Record<string, readonly [number, number]>>[] = [
  {
    orders: [240, 40],
    "orders.express": [12, 4],
    invoices: [31, 9],
    mails: [18, 12],
    "search.index": [4, 6],
  },
  { payments: [9, 8], webhooks: [57, 11], refunds: [2, 1], audit: [130, 5] },
  { thumbnails: [44, 7], transcode: [6, 2] },
];

const text = (n: number) => ({
  id: 48_200 + n,
  customer: `c-${(n * 7919) % 997}`,
  total: Math.round((n * 37.5) % 400 * 100) / 100,
  items: [{ sku: `A-${n % 17}`, count: 1 + n % 3 }],
});

async function seed(
  connection: Connection,
  queues: Readonly<Record<string, readonly [number, number]>>,
): Promise<void> {
  for (const [name, [count]] of Object.entries(queues)) {
    const queue = new Queue(
      name,
      /orders$|webhooks/.test(name) ? { deadLetter: `${name}.dead` } : {},
    );
    for (let n = 0; n < count; n++) {
      await connection.send(queue, text(n), {
        messageId: `${name}-${n}`,
        timestamp: new Date(Date.now() - 90_000 + n * 100),
        headers: { tenant: `t${n % 4}` },
      });
    }
  }
}

/** Some messages fail, and are dead. */
async function fail(connection: Connection, name: string): Promise<void> {
  const queue = new Queue(name, { deadLetter: `${name}.dead` });
  const stop = new AbortController();
  let count = 0;
  await connection.consumer(queue, { prefetch: 1 }).run(() => {
    if (++count === 3) stop.abort();
    throw new TypeError("the address has no country");
  }, { retry: { attempts: 1 }, concurrency: 1, signal: stop.signal });
}

/** Messages come, and are worked at by a worker that is slower at times. */
async function flow(
  connection: Connection,
  queues: Readonly<Record<string, readonly [number, number]>>,
  signal: AbortSignal,
): Promise<void> {
  const pause = (time: number) =>
    new Promise<void>((resolve) => setTimeout(resolve, time));
  await using producer = connection.producer();
  const running = Object.entries(queues).flatMap(([name, [, rate]], i) => {
    const publish = async () => {
      for (let n = 0; !signal.aborted; n++) {
        await producer.publish(text(n), {
          routingKey: name,
          messageId: `${name}-f${n}`,
          timestamp: new Date(),
          headers: { tenant: `t${n % 4}` },
        });
        await pause(1000 / rate * (1 + 0.6 * Math.sin(n / rate / 3 + i)));
      }
    };
    const work = connection.consumer(name, { prefetch: 8 }).run(
      () =>
        pause(22 / rate * 1000 * (1 + 0.8 * Math.cos(Date.now() / 6000 + i))),
      { concurrency: 8, signal },
    );
    return [publish(), work];
  });
  await Promise.all(running);
}

const rabbitmq = await startManagedRabbitmq();
const redis = await startRedis();
const beanstalk = await startBeanstalk();
const browser = await startBrowser();
const urls = [redis.url, rabbitmq.server.url, beanstalk.url];
const connections = urls.map((url) =>
  createConnection(url, { onUnhandled: () => {} })
);
try {
  for (const [i, connection] of connections.entries()) {
    await seed(connection, QUEUES[i] ?? {});
  }
  for (const connection of connections.slice(0, 2)) {
    await fail(
      connection,
      connection === connections[0] ? "orders" : "webhooks",
    );
  }
  const { managementUrl } = rabbitmq;
  await using ui = await startUi(urls, { managementUrl, interval: 1 });
  const signal = AbortSignal.timeout(TIME + 10_000);
  const flowing = connections.map((connection, i) =>
    flow(connection, QUEUES[i] ?? {}, signal)
  );
  const page = await browser.newPage({
    viewport: { width: 1280, height: 800 },
    deviceScaleFactor: 1.5,
    colorScheme: "dark",
  });
  await page.goto(ui.link);
  await page.getByRole("searchbox").waitFor();
  await new Promise((resolve) => setTimeout(resolve, TIME));
  await page.getByRole("button", { name: "orders", exact: true }).click();
  await page.locator(".messages li").first().waitFor();
  await page.mouse.move(0, 0);
  await page.screenshot({ path: FILE });
  await Promise.all(flowing);
  // As few colours as there are: half the size.
  await run("pngquant", ["--force", "--ext", ".png", "--speed", "1", FILE]);
  console.log(`${FILE}: ${Deno.statSync(FILE).size} bytes`);
} finally {
  await browser.close();
  await Promise.all(connections.map((each) => each.close()));
  for (const each of [rabbitmq.server, redis, beanstalk]) await each.stop();
}
