/** A real Chromium, without a window. */

import { assertEquals } from "@std/assert";
import { type Browser, chromium, type Page } from "playwright-core";
import { provideChromium } from "../brokers/chromium.ts";

/** How long a page may take to show something, ms. */
export const PATIENCE = 60_000;

const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts it, with a new folder for what it keeps. */
export async function startBrowser(): Promise<Browser> {
  const executablePath = await provideChromium();
  return await chromium.launch({
    executablePath,
    args: FLAGS,
    timeout: 2 * PATIENCE,
  });
}

/** Registers a test in a browser, and on brokers: `needed` has their URLs, by their names in the variables. */
export function testInBrowser(
  name: string,
  needed: Readonly<Record<string, string | undefined>>,
  run: (context: Deno.TestContext, page: Page) => Promise<void>,
): void {
  const missing = Object.entries(needed)
    .filter(([, url]) => url === undefined)
    .map(([variable]) =>
      Deno.env.get(`DASHI_TEST_${variable}_REASON`) ?? "there is no broker"
    );
  Deno.test({
    name: missing.length === 0 ? name : `${name} (${missing[0]})`,
    ignore: missing.length > 0,
    // The library that drives the browser keeps its handlers of the process.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async (context) => {
      const browser = await startBrowser();
      try {
        // A colour that is on its way to another is none of the page's.
        const page = await browser.newPage({ reducedMotion: "reduce" });
        page.setDefaultTimeout(PATIENCE);
        const errors: string[] = [];
        page.on("pageerror", ({ message }) => errors.push(message));
        page.on("console", (message) => {
          if (/Content Security Policy/.test(message.text())) {
            errors.push(message.text());
          }
        });
        await run(context, page);
        assertEquals(errors, []);
      } finally {
        await browser.close();
      }
    },
  });
}

/** An event of Chromium's trace, as far as it is read here: `tdur` is in µs of the processor. */
interface TraceEvent {
  readonly name: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args: { readonly name?: string };
}

/**
 * Tells the longest task of the page's main thread while `use` ran, in ms of the processor: by the clock, a task is
 * long where other programs had the processor, too.
 */
export async function longestTask(
  page: Page,
  use: () => Promise<void>,
): Promise<number> {
  const browser = page.context().browser();
  if (browser === null) throw new Error("the page is no browser's of its own");
  await browser.startTracing(page, { categories: ["toplevel"] });
  let trace: string;
  try {
    await use();
  } finally {
    trace = new TextDecoder().decode(await browser.stopTracing());
  }
  const events: readonly TraceEvent[] = JSON.parse(trace).traceEvents;
  const thread = ({ pid, tid }: TraceEvent) => `${pid}.${tid}`;
  const main = new Set(
    events.filter(({ name, args }) =>
      name === "thread_name" && args.name === "CrRendererMain"
    ).map(thread),
  );
  const tasks = events.filter((event) =>
    event.name === "ThreadControllerImpl::RunTask" && main.has(thread(event))
  );
  return Math.max(0, ...tasks.map(({ tdur }) => (tdur ?? 0) / 1_000));
}
