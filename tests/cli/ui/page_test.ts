import { assert, assertEquals, assertMatch } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import axe from "axe-core";
import type { Page } from "playwright-core";
import { startRedis } from "../../brokers/redis.ts";
import { until } from "../../brokers/server.ts";
import { PATIENCE, testInBrowser } from "../../support/browser.ts";
import { startManagedRabbitmq } from "../../support/managed_rabbitmq.ts";
import { ALL } from "../../support/targets.ts";
import { type ServedUi, startUi } from "../../support/ui.ts";

const redis = Deno.env.get("DASHI_TEST_REDIS_URL");
/** Those that are clicked through, beside RabbitMQ and Redis; the last ones under `deno task faults` alone, for each takes seconds. */
const OTHERS = {
  MongoDB: "MONGODB",
  PostgreSQL: "POSTGRES",
  "Redis Cluster": "REDIS_CLUSTER",
  NATS: "NATS",
  CouchDB: "COUCHDB",
  beanstalkd: "BEANSTALK",
  SQS: "SQS",
};
/** Brokers that count what was published. */
const COUNTING = new Set(["RabbitMQ", "beanstalkd"]);

const others = Object.entries(OTHERS).slice(0, ALL ? undefined : 2).map((
  [title, name],
) => [title, name, Deno.env.get(`DASHI_TEST_${name}_URL`)] as const);
const amqp = Deno.env.get("DASHI_TEST_AMQP_URL");

/** Three dead letters, in a queue of their own. */
async function seed(connection: Connection, name: string): Promise<void> {
  const queue = new Queue<{ n: number; text: string }>(name, {
    deadLetter: `${name}.dead`,
  });
  for (const n of [1, 2, 3]) {
    await connection.send(queue, { n, text: "größer" }, {
      messageId: `m-${n}`,
      headers: { tenant: "t7" },
    });
  }
  const stop = new AbortController();
  let failed = 0;
  await connection.consumer(queue).run(() => {
    if (++failed === 3) stop.abort();
    throw new TypeError("no such customer");
  }, { retry: { attempts: 1 }, signal: stop.signal });
  assertEquals(await depth(connection, `${name}.dead`), 3);
}

async function depth(connection: Connection, name: string): Promise<number> {
  return (await connection.queue(name).status()).messageCount;
}

async function open(page: Page, name: string): Promise<void> {
  await page.getByRole("searchbox").fill(name);
  const row = page.getByRole("button", { name, exact: true });
  await row.waitFor();
  // Both its queues pass the filter of the shorter name, which is the first.
  await page.getByRole("searchbox").press("Enter");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
  // Queues of several brokers may have the same name.
  await page.locator("#queues tr.open .broker").waitFor();
}

async function told(page: Page, text: string): Promise<void> {
  await page.locator(".told", { hasText: text }).waitFor();
}

async function answer(page: Page, yes: string): Promise<void> {
  await page.locator("#question").getByRole("button", {
    name: yes,
    exact: true,
  })
    .click();
}

/** As one looks at dead letters, and mends what is wrong. */
async function clickThrough(
  page: Page,
  connection: Connection,
  name: string,
  rate: string,
  dead = `${name}.dead`,
): Promise<void> {
  await seed(connection, name);
  await open(page, dead);
  const items = page.locator(".messages li");
  const isListed = (count: number) =>
    until(
      `${count} messages`,
      PATIENCE,
      async () => await items.count() === count,
    );
  await page.getByRole("button", { name: "Look at messages" }).click();
  await isListed(3);
  const text = await items.first().innerText();
  assertMatch(text, /"text": "größer"/);
  assertMatch(text, /TypeError: no such customer/);
  assertMatch(text, new RegExp(`from ${name} `));
  await items.first().locator("summary").click();
  await items.first().locator("pre", { hasText: /"n": \d/ }).waitFor();
  await items.first().getByRole("cell", { name: "t7" }).waitFor();

  await items.first().getByRole("button", { name: "Redrive this one" }).click();
  await told(page, "1 message redriven.");
  await isListed(2);
  await items.first().locator("summary").click();
  await items.first().getByRole("button", { name: "Drop this one" }).click();
  await answer(page, "Cancel");
  assertEquals(await depth(connection, `${name}.dead`), 2);
  await items.first().getByRole("button", { name: "Drop this one" }).click();
  await answer(page, "Drop it");
  await told(page, "The dead letter is dropped.");
  await isListed(1);
  await page.getByRole("button", { name: "Redrive", exact: true }).click();
  await answer(page, "Redrive");
  await told(page, "1 message redriven.");
  assertEquals(await depth(connection, `${name}.dead`), 0);
  assertEquals(await depth(connection, name), 2);

  await page.keyboard.press("Escape");
  await open(page, name);
  await page.locator(".charts canvas").first().waitFor();
  await page.locator(".figures dt", { hasText: rate }).waitFor();
  await page.getByText("Publish a message").click();
  const publish = page.getByRole("button", { name: "Publish" });
  await page.getByLabel("Payload", { exact: true }).last().fill('{"n": 4');
  await publish.click();
  await page.locator(".failed", { hasText: "cannot be read as JSON" })
    .waitFor();
  await page.getByLabel("Payload", { exact: true }).last().fill('{"n": 4}');
  await page.getByLabel("Headers, as JSON").fill('{"tenant": "t8"}');
  await publish.click();
  await told(page, "The broker has the message.");
  assertEquals(await depth(connection, name), 3);

  await page.getByText("Purge the queue").click();
  await page.getByRole("button", { name: "Purge …" }).click();
  const sure = page.locator("#question-yes");
  assert(await sure.isDisabled());
  await page.locator("#question-input").fill(`${name}.`);
  assert(await sure.isDisabled());
  await page.locator("#question-input").fill(name);
  await sure.click();
  await told(page, "3 messages removed.");
  assertEquals(await depth(connection, name), 0);
  await page.keyboard.press("Escape");
}

testInBrowser(
  "dashi ui is clicked through in Chromium, on several brokers at once",
  {
    AMQP: amqp,
    REDIS: redis,
    ...Object.fromEntries(others.map(([, name, url]) => [name, url])),
  },
  async (context, page) => {
    const { server, managementUrl } = await startManagedRabbitmq();
    const folder = await Deno.makeTempDir({ prefix: "dashi-ui-" });
    const brokers = {
      RabbitMQ: server.url,
      Redis: redis,
      ...Object.fromEntries(others.map(([title, , url]) => [title, url])),
      ...(ALL ? { SQLite: `sqlite:${folder}/ui.db` } : {}),
    };
    const urls = Object.values(brokers).map((url) => url ?? "");
    try {
      await using ui = await startUi(urls, { managementUrl });
      await page.goto(ui.link);
      for (const [title, url = ""] of Object.entries(brokers)) {
        await context.step(title, async () => {
          const name = `ui-${crypto.randomUUID()}`;
          await using connection = createConnection(url, {
            onUnhandled: () => {},
          });
          try {
            await clickThrough(
              page,
              connection,
              name,
              COUNTING.has(title) ? "In /s" : "Change /s",
              // SQS has no dots in the names of its queues.
              title === "SQS" ? `${name}-dead` : undefined,
            );
          } finally {
            await connection.delete(name);
            await connection.delete(`${name}.dead`);
          }
        });
      }
    } finally {
      await server.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testInBrowser(
  "dashi ui is accessible, in light and dark, and tells of a broker that is gone",
  {
    REDIS: redis,
  },
  async (context, page) => {
    const name = `ui-${crypto.randomUUID()}`;
    const other = await startRedis();
    const { url = "" } = { url: redis };
    await using connection = createConnection(url, { onUnhandled: () => {} });
    await seed(connection, name);
    await using ui: ServedUi = await startUi([url, other.url]);
    try {
      await page.goto(ui.link);
      await open(page, `${name}.dead`);
      await page.locator(".messages summary").first().click();
      await page.getByText("Publish a message").click();
      await page.locator(".charts canvas").first().waitFor();
      const cards = page.locator("#brokers article");
      await until(
        "two brokers",
        PATIENCE,
        async () =>
          (await cards.locator(".dot[aria-label=answers]").count()) === 2,
      );
      await context.step(
        "a message that is open stays so, and an answer that is overtaken shows nothing",
        () => lookTwice(page),
      );
      await context.step("a broker that is gone", async () => {
        await other.kill();
        await cards.getByText(/ECONNREFUSED/).waitFor();
        await cards.getByText(/Is the broker running/).waitFor();
      });
      for (const theme of ["light", "dark"]) {
        await context.step(theme, async () => {
          await page.getByLabel("Colours").selectOption(theme);
          assertEquals(await violations(page), []);
          await page.getByRole("button", { name: "Drop this one" }).first()
            .click();
          assertEquals(await violations(page), []);
          await page.keyboard.press("Escape");
          await page.locator("#help").click();
          assertEquals(await violations(page), []);
          await page.keyboard.press("Escape");
        });
      }
      await context.step("it comes back by itself", async () => {
        await other.start();
        await until(
          "two brokers",
          PATIENCE,
          async () =>
            (await cards.locator(".dot[aria-label=answers]").count()) === 2,
        );
      });
      await context.step("its keys", () => useKeys(page, name));
    } finally {
      await other.stop();
      await connection.delete(name);
      await connection.delete(`${name}.dead`);
    }
  },
);

testInBrowser(
  "dashi ui opens a queue by its name on a RabbitMQ that lists none",
  { AMQP: amqp },
  async (_context, page) => {
    const name = `ui-${crypto.randomUUID()}`;
    const url = amqp ?? "";
    await using connection = createConnection(url, { onUnhandled: () => {} });
    await connection.send(new Queue(name), { id: 7 });
    try {
      await using ui = await startUi([url]);
      await page.goto(ui.link);
      const form = page.getByRole("form", { name: "Open a queue by its name" });
      const input = form.getByRole("textbox", { name: "Queue" });
      await input.fill(`${name}.none`);
      await form.getByRole("button", { name: "Open" }).click();
      await form.getByRole("alert").filter({ hasText: name }).waitFor();
      assertEquals(await violations(page), []);
      await input.fill(name);
      await form.getByRole("button", { name: "Open" }).click();
      await page.getByRole("heading", { name, exact: true, level: 2 })
        .waitFor();
      await page.getByRole("button", { name: "Look at messages" }).click();
      await page.locator(".messages summary").first().waitFor();
    } finally {
      await connection.delete(name);
    }
  },
);

testInBrowser(
  "dashi ui redrives a dead letter that lies in a queue which nothing tells to be one of dead letters",
  { REDIS: redis },
  async (_context, page) => {
    const name = `ui-${crypto.randomUUID()}`;
    const aside = `${name}.aside`;
    const url = redis ?? "";
    await using connection = createConnection(url);
    await connection.declare([new Queue(name), new Queue(aside)]);
    try {
      await using channel = await connection.channel();
      await channel.publish({
        exchange: "",
        routingKey: aside,
        mandatory: false,
        delay: 0,
        properties: {
          messageId: "m-1",
          headers: {
            "x-first-death-queue": name,
            "x-death": [{ queue: name, reason: "rejected", count: 1 }],
          },
        },
        body: new Uint8Array([49]),
        republished: true,
      });
      await using ui = await startUi([url]);
      await page.goto(ui.link);
      await page.getByRole("searchbox").fill(aside);
      await page.getByRole("button", { name: aside, exact: true }).click();
      const item = page.locator(".messages li");
      await item.getByRole("button", { name: "Redrive this one" }).click();
      await told(page, "1 message redriven.");
      assertEquals(await depth(connection, aside), 0);
      assertEquals(await depth(connection, name), 1);
    } finally {
      await connection.delete(name);
      await connection.delete(aside);
    }
  },
);

async function violations(page: Page): Promise<readonly string[]> {
  // The page itself may run no such script: this one comes by the browser's own door.
  await page.evaluate(axe.source);
  const found = await page.evaluate(() =>
    (globalThis as unknown as { axe: typeof axe }).axe.run()
  );
  assert(found.passes.length > 5);
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`)
  );
}

/** Looks at messages while one of them is open, and again before there is an answer. */
async function lookTwice(page: Page): Promise<void> {
  const asked: ((body: string | undefined) => Promise<void>)[] = [];
  await page.route("**/messages", (route) => {
    asked.push((body) =>
      body === undefined ? route.continue() : route.fulfill({ body })
    );
  });
  const items = page.locator(".messages li");
  const open = items.first().locator("pre");
  await open.waitFor();
  const isAsked = (count: number) =>
    until(
      `${count} looks`,
      PATIENCE,
      () => Promise.resolve(asked.length === count),
    );
  for (const count of [1, 2]) {
    await page.getByRole("button", { name: "Look at messages" }).click();
    await isAsked(count);
  }
  const before = await page.locator(".messages").elementHandle();
  await asked[1]?.(undefined);
  await before?.waitForElementState("hidden");
  await open.waitFor();
  const answered = page.waitForResponse("**/messages");
  await asked[0]?.('{"messages":[],"taken":false}');
  await (await answered).finished();
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  assertEquals(await items.count(), 3);
  await page.unroute("**/messages");
}

async function useKeys(page: Page, name: string): Promise<void> {
  await page.keyboard.press("Escape");
  await page.locator("#panel").waitFor({ state: "hidden" });
  await page.keyboard.press("/");
  await page.keyboard.type(name);
  await page.keyboard.press("ArrowDown");
  const focused = () => page.locator("*:focus").textContent();
  assertEquals(await focused(), name);
  await page.keyboard.press("j");
  assertEquals(await focused(), `${name}.dead`);
  await page.keyboard.press("j");
  assertEquals(await focused(), `${name}.dead`);
  await page.keyboard.press("k");
  assertEquals(await focused(), name);
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name, exact: true, level: 2 }).waitFor();
}
