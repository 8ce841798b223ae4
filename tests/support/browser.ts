/** A real Chromium, without a window. */

import { assertEquals } from "@std/assert";
import { type Browser, chromium, type Page } from "playwright-core";
import { provideChromium } from "../brokers/chromium.ts";

/** How long a page may take to show something, ms. */
export const PATIENCE = 20_000;

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
  return await chromium.launch({ executablePath, args: FLAGS });
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
