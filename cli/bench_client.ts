import { type Command, InvalidArgumentError, Option } from "commander";
import { bench, type BenchOptions } from "./bench.ts";
import { type Run, whole } from "./options_client.ts";

/** The most that publishes may be on their way at once: a consumer's prefetch has no more. */
const MOST_AT_ONCE = 65_535;

/** The largest message, bytes: beyond that a broker's own limit is what is measured. */
const LARGEST = 16 * 2 ** 20;

/**
 * Adds the command `bench`.
 *
 * @param program The command line.
 * @param run Runs a command's action.
 */
export function addBench(program: Command, run: Run): void {
  program.command("bench")
    .description(
      "measure how fast messages come in and out of a queue of its own",
    )
    .addOption(
      new Option("--messages <number>", "how many").argParser(whole)
        .default(10_000),
    )
    .addOption(
      new Option("--size <bytes>", "of each").argParser(upTo(LARGEST))
        .default(1000),
    )
    .addOption(
      new Option("--concurrency <number>", "how many are on their way at once")
        .argParser(upTo(MOST_AT_ONCE)).default(100),
    )
    .addHelpText(
      "after",
      `
"publish" is timed until the broker has the message, "consume" is the ack, and "one by one" from the publish to the delivery through an empty queue. The queue is durable, and deleted at the end.

Examples:
  dashi bench
  dashi bench --messages 1000 --size 100000 --concurrency 10`,
    )
    .action((options: BenchOptions, command: Command) =>
      run(command, (context) => bench(context, options))
    );
}

function upTo(most: number): (text: string) => number {
  return (text) => {
    const value = whole(text);
    if (value <= most) return value;
    throw new InvalidArgumentError(`It must be at most ${most}.`);
  };
}
