import { assert } from "@std/assert";
import { createConnection } from "@dashi/mq";
import type { Page } from "playwright-core";
import { until } from "../../brokers/server.ts";
import { longestTask, PATIENCE, testInBrowser } from "../../support/browser.ts";
import { startUi } from "../../support/ui.ts";

const redis = Deno.env.get("DASHI_TEST_REDIS_URL");

const QUEUES = 500;
/** The longest task that nobody notices, ms of the processor. */
const MOST = 100;
/** A collection of garbage is in a task by chance: so the best of so many rounds counts. */
const ROUNDS = 5;

testInBrowser(`dashi ui shows ${QUEUES} queues with no task over ${MOST} ms`, {
  REDIS: redis,
}, async (_, page) => {
  const url = redis ?? "";
  const prefix = `ui-many-${crypto.randomUUID().slice(0, 8)}`;
  const names = Array.from({ length: QUEUES }, (_, i) => `${prefix}.${i}`);
  await using connection = createConnection(url);
  const channel = await connection.channel();
  await Promise.all(names.map((name) =>
    channel.declareQueue({
      name,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    })
  ));
  try {
    await using ui = await startUi([url], { interval: 0.5 });
    await page.goto(ui.link);
    await page.getByRole("searchbox").waitFor();
    assert(
      await longestTask(page, () => keepBusy(page)) > MOST,
      "no task is seen",
    );
    const longest: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      longest.push(
        await longestTask(
          page,
          () => useIt(page, prefix, () => publish(names)),
        ),
      );
      if ((longest.at(-1) ?? 0) <= MOST) break;
    }
    assert(Math.min(...longest) <= MOST, `the longest tasks: ${longest}`);
  } finally {
    await Promise.all(names.map((name) => channel.deleteQueue(name)));
  }

  async function publish(names: readonly string[]): Promise<void> {
    await using producer = connection.producer();
    await Promise.all(
      names.map((name) => producer.publish(name, { routingKey: name })),
    );
  }
});

/** Does what one does with many queues, all of which change meanwhile. */
async function useIt(
  page: Page,
  prefix: string,
  publish: () => Promise<void>,
): Promise<void> {
  await page.reload();
  const rows = page.locator("#queues tbody tr:not(.space)");
  const filter = page.getByRole("searchbox");
  await filter.fill(prefix);
  await rows.first().waitFor();
  const isCounted = (count: number) =>
    until(`${count} rows`, PATIENCE, async () => {
      const text = await page.locator("#queues").getAttribute("aria-rowcount");
      return text === String(count + 1);
    });
  await isCounted(QUEUES);
  assert(await rows.count() < 100, "rows that nobody sees are made");
  await publish();
  await page.getByRole("button", { name: "Ready", exact: true }).click();
  await page.locator("#scroll").evaluate((element) =>
    element.scrollTop = element.scrollHeight
  );
  await page.getByText(`${prefix}.`).last().waitFor();
  await publish();
  await filter.fill(`${prefix}.49`);
  await isCounted(11);
  await filter.fill(prefix);
  await isCounted(QUEUES);
  await page.locator("#scroll").evaluate((element) => element.scrollTop = 0);
  await rows.first().click();
  await page.locator(".charts canvas").first().waitFor();
  const ready = page.locator(".figures dd").first();
  const before = await ready.innerText();
  await publish();
  await until(
    "the numbers",
    PATIENCE,
    async () => await ready.innerText() !== before,
  );
  await page.keyboard.press("Escape");
}

/** Adds a thousand million times in one task: more than a tenth of a second of any processor. */
async function keepBusy(page: Page): Promise<void> {
  await page.evaluate(() => {
    let sum = 0;
    for (let i = 0; i < 1e9; i++) sum += i & 7;
    return sum;
  });
}
