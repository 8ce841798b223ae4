/** A real Chromium, without a window. */

import { type Browser, chromium } from "playwright-core";
import { provideChromium } from "../brokers/chromium.ts";

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
