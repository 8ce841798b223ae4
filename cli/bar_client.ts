import cliProgress from "cli-progress";
import { printable } from "../model/foreign_text.ts";
import type { Bar } from "./terminal.ts";

/** The part of the package that is used: it comes without types. */
interface SingleBar {
  start(total: number, value: number): void;
  setTotal(total: number): void;
  update(value: number): void;
  stop(): void;
}

/** So much of a label is shown, characters. */
const MAX_LABEL = 30;

/**
 * Shows a bar on the errors' output, or a count where it is not known how many there are.
 *
 * @param label What it is about.
 * @param total How many there are.
 * @returns The bar.
 */
export function barOf(label: string, total: number | undefined): Bar {
  const head = printable(label, MAX_LABEL);
  const bar: SingleBar = new cliProgress.SingleBar({
    format: total === undefined
      ? `${head} {value} moved, {duration_formatted}`
      : `${head} {bar} {value}/{total} {duration_formatted}, {eta_formatted} left`,
    hideCursor: true,
    // Who interrupts it is told how far it came, by the command itself.
    gracefulExit: false,
    noTTYOutput: false,
  }, cliProgress.Presets.shades_classic);
  bar.start(total ?? 1, 0);
  return {
    set(done) {
      // More may have come meanwhile.
      if (total === undefined || done > total) bar.setTotal(Math.max(done, 1));
      bar.update(done);
    },
    stop: () => bar.stop(),
  };
}
