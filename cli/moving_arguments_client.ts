import { type Command, Option } from "commander";
import { type GlobalOptions, targetConnection } from "./context.ts";
import { move, type MoveArguments } from "./move.ts";
import { TOPOLOGY } from "./move_topology.ts";
import { tail } from "./tail.ts";
import { number, positive, rate, type Run, whole } from "./options_client.ts";

/**
 * Adds the command `move`.
 *
 * @param program The program.
 * @param run Runs a command.
 */
export function addMove(program: Command, run: Run): void {
  program.command("move")
    .description("move queues with their messages to another broker, or name")
    .argument("[queues...]", "their names; in a pattern * is any text")
    .option("--all", "all queues")
    .option(
      "--to <name>",
      "the queue's name there; * is what that of a pattern is",
    )
    .option("--to-url-file <file>", "a file that has the other broker's URL")
    .option("--to-url <url>", "that URL, without a password")
    .addOption(
      new Option(
        "--topology <choice>",
        "declare there what leads to the queues, the plain queues, or nothing",
      ).choices(TOPOLOGY).default("all"),
    )
    .addOption(
      new Option("--limit <number>", "how many of each queue at most")
        .argParser(whole),
    )
    .addOption(
      new Option("--rate <rate>", "how many at most, as 50/s or 30/m")
        .argParser(rate),
    )
    .addOption(
      new Option("--in-flight <number>", "how many are on their way at once")
        .argParser(whole).default(256),
    )
    .addOption(
      new Option("--wait <seconds>", "for messages that consumers hold")
        .argParser(number).default(60),
    )
    .addOption(
      new Option(
        "--dedupe <seconds>",
        "put a second message of an id nowhere for so long, where the broker can",
      ).argParser(positive),
    )
    .option("--dry-run", "say what would be done, and do nothing")
    .addHelpText(
      "after",
      `
The other broker's URL is in the variable DASHI_TO_URL, or in a file. Without one the queues are moved to other names.

Examples:
  dashi move orders mails --to-url amqp://localhost
  dashi move --all --to-url-file rabbit.url --dry-run
  dashi move 'orders.*' --to 'old.*'

Ends with 1 if some messages stay, and with 130 if it was interrupted: run it again to go on.`,
    )
    .action((
      queues: readonly string[],
      options: MoveArguments & {
        readonly toUrl?: string;
        readonly toUrlFile?: string;
      },
      command: Command,
    ) =>
      run(command, async (context) => {
        const { terminal } = context;
        const all = command.optsWithGlobals<GlobalOptions>();
        await using target = await targetConnection(terminal, {
          ...all,
          url: options.toUrl,
          urlFile: options.toUrlFile,
        });
        return await move(context, target, queues, options);
      })
    );
}

/**
 * Adds the command `tail`.
 *
 * @param program The program.
 * @param run Runs a command.
 */
export function addTail(program: Command, run: Run): void {
  program.command("tail")
    .description("show messages as they are published")
    .argument("<name>", "an exchange; or a queue, whose bindings are followed")
    .argument("[key]", "the routing key, or pattern")
    .addOption(
      new Option("-n, --count <number>", "end after so many").argParser(whole),
    )
    .addHelpText(
      "after",
      "\nExamples:\n  dashi tail media 'video.#'\n  dashi tail media | jq .payload",
    )
    .action((
      name: string,
      key: string | undefined,
      { count }: { readonly count?: number },
      command: Command,
    ) => run(command, (context) => tail(context, name, { key, count })));
}
