import { Argument, Command, CommanderError, Option } from "commander";
import { addBench } from "./bench_client.ts";
import { addCompletions } from "./completions_client.ts";
import { type GlobalOptions, withContext } from "./context.ts";
import { MOST } from "./dead_letters.ts";
import { addDeadLetters, addPurge } from "./dead_letters_client.ts";
import { doctor } from "./doctor.ts";
import { type Kind, KINDS, list } from "./list.ts";
import { get, peek } from "./messages.ts";
import { addMove, addTail } from "./moving_arguments_client.ts";
import {
  type Action,
  collect,
  countOption,
  type CountOptions,
  number,
  positive,
  priority,
  type Run,
} from "./options_client.ts";
import { ping } from "./ping.ts";
import { publish, type PublishArguments } from "./publish.ts";
import {
  bind,
  declare,
  type DeclareArguments,
  type DeleteArguments,
  remove,
} from "./tables.ts";
import { type Terminal, UsageError } from "./terminal.ts";
import { addUi } from "./ui/command_client.ts";
import { VERSION } from "./version.ts";

const DESCRIPTION = `Looks into a message broker, and mends what is in it.

The broker's URL is in the variable DASHI_URL, or in a file that --url-file names; for RabbitMQ, that of its management API in DASHI_MANAGEMENT_URL. Tables are for terminals; in a pipe each row is a line of JSON.`;

const AFTER = `
Examples:
  export DASHI_URL=redis://localhost
  dashi ping
  dashi list | jq 'select(.ready > 100) | .name'
  dashi dlq show orders.failed
  dashi dlq redrive orders.failed --limit 10

Ends with 0 when all went well, 1 when something failed, 2 for wrong arguments.`;

/**
 * Reads the arguments, and runs the command that they name.
 *
 * @param terminal The terminal.
 * @returns The code to end with.
 * @throws {UsageError} If they name none, or are wrong.
 */
export async function runArguments(terminal: Terminal): Promise<number> {
  let code = 0;
  const program = new Command("dashi");
  const run = (command: Command, action: Action) =>
    withContext(terminal, command.optsWithGlobals<GlobalOptions>(), action)
      .then((result) => {
        code = result;
      });
  const written: string[] = [];
  program.description(DESCRIPTION)
    .addHelpText("after", AFTER)
    .addOption(
      new Option("--url <url>", "the broker's URL, without a password"),
    )
    .addOption(
      new Option("--url-file <file>", "a file that has the broker's URL"),
    )
    .addOption(
      new Option("--timeout <seconds>", "how long a call takes at most")
        .argParser(positive),
    )
    .addOption(
      new Option(
        "--module <file>",
        "exports middlewares, as for messages that are encrypted",
      ),
    )
    .addOption(new Option("--json", "JSON on a terminal, too"))
    .version(VERSION, "-V, --version", "print the version of dashi")
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void written.push(text),
      writeErr: () => {}, // it is the error's text, too
    })
    .exitOverride();
  addCommands(program, run);
  addCompletions(program, (text) => void written.push(text));
  addUi(program, terminal, (result) => {
    code = result;
  });
  try {
    await program.parseAsync([...terminal.args], { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) {
      throw new UsageError(wordsOf(error, program, terminal.args));
    }
  }
  for (const each of written) await terminal.write(each);
  return code;
}

function addCommands(
  program: Command,
  run: Run,
): void {
  program.command("ping")
    .description("send a message through a queue of its own, step by step")
    .addHelpText("after", "\nExample:\n  dashi ping --timeout 5")
    .action((_, command: Command) => run(command, ping));
  program.command("doctor")
    .description("say what broker it is, and what it can")
    .addHelpText("after", "\nExample:\n  dashi doctor --json | jq .lacks")
    .action((_, command: Command) => run(command, doctor));
  program.command("list")
    .description("list queues, exchanges or bindings")
    .addArgument(
      new Argument("[kind]", "what to list").choices(KINDS).default("queues"),
    )
    .addHelpText("after", "\nExample:\n  dashi list bindings")
    .action((kind: Kind, _, command: Command) =>
      run(command, (context) => list(context, kind))
    );
  program.command("peek")
    .description("show the messages whose turn comes first, which stay")
    .argument("<queue>", "its name")
    .addOption(countOption("how many at most", 10, MOST))
    .addHelpText("after", "\nExample:\n  dashi peek orders -n 3")
    .action((queue: string, { count }: CountOptions, command: Command) =>
      run(command, (context) => peek(context, queue, count))
    );
  program.command("get")
    .description("take messages: each is acked when it is written")
    .argument("<queue>", "its name")
    .addOption(countOption("how many at most", 1))
    .option("--keep", "give them back instead")
    .addHelpText(
      "after",
      "\nExample:\n  dashi get orders -n 100 > orders.ndjson",
    )
    .action((
      queue: string,
      options: CountOptions & { readonly keep?: boolean },
      command: Command,
    ) => run(command, (context) => get(context, queue, options)));
  addPublish(program, run);
  addTables(program, run);
  addDeadLetters(program, run);
  addMove(program, run);
  addTail(program, run);
  addBench(program, run);
}

function addTables(
  program: Command,
  run: Run,
): void {
  program.command("declare")
    .description("declare a queue, or an exchange")
    .argument("<name>", "its name")
    .option("--exchange <type>", "an exchange of that type: direct, topic …")
    .option(
      "--argument <name=value>",
      "an argument of the broker's; as often as you like",
      collect,
    )
    .addHelpText(
      "after",
      `
Examples:
  dashi declare orders --argument x-max-priority=9
  dashi declare media --exchange topic`,
    )
    .action((name: string, options: DeclareArguments, command: Command) =>
      run(command, (context) => declare(context, name, options))
    );
  for (const verb of ["bind", "unbind"] as const) {
    program.command(verb)
      .description(
        verb === "bind"
          ? "bind a queue to an exchange"
          : "remove a binding of a queue",
      )
      .argument("<queue>", "the queue")
      .argument("<exchange>", "the exchange")
      .argument("[key]", "the routing key", "")
      .addHelpText("after", `\nExample:\n  dashi ${verb} video media 'video.#'`)
      .action((
        queue: string,
        exchange: string,
        key: string,
        _,
        command: Command,
      ) =>
        run(command, (context) => bind(context, verb, queue, exchange, key))
      );
  }
  program.command("delete")
    .description("delete queues with their messages, or exchanges")
    .argument("<names...>", "their names")
    .option("--exchange", "they are exchanges")
    .option("--if-empty", "only those that have no messages")
    .option("--yes", "you are sure")
    .addHelpText(
      "after",
      `
Examples:
  dashi delete orders --if-empty --yes
  dashi list | jq -r 'select(.name | startswith("old.")) | .name' |
    xargs dashi delete --yes`,
    )
    .action((names: string[], options: DeleteArguments, command: Command) =>
      run(command, (context) => remove(context, names, options))
    );
  addPurge(program, run, "dashi purge orders --yes");
}

function addPublish(
  program: Command,
  run: Run,
): void {
  program.command("publish")
    .description("publish a message, or each line of JSON as one")
    .argument("<queue>", "its name; with --exchange the routing key")
    .argument("[payload]", "JSON, or else text; without one it is piped in")
    .option("--exchange <name>", "the exchange")
    .option("--file <file>", "a file that has the payload")
    .option("--ndjson", "each line is the payload of a message")
    .option(
      "--content-type <type>",
      "of the payload, whose bytes stay as they are",
    )
    .option("--header <name=value>", "a header; as often as you like", collect)
    .option("--message-id <id>", "the message's id")
    .option("--type <type>", "the message's type")
    .option("--key <key>", "its key, for ordered queues")
    .addOption(
      new Option("--priority <number>", "0 to 9, or to 255 by some brokers")
        .argParser(priority),
    )
    .addOption(
      new Option("--delay <seconds>", "until it may be delivered")
        .argParser(number),
    )
    .addOption(
      new Option("--expiration <seconds>", "until it is dropped").argParser(
        number,
      ),
    )
    .addHelpText(
      "after",
      `
Examples:
  dashi publish orders '{"id":1}' --header tenant=7
  dashi publish orders --ndjson < orders.ndjson
  dashi publish video.new --exchange media --file cat.avi --content-type video/avi`,
    )
    .action((
      queue: string,
      payload: string | undefined,
      options: PublishArguments,
      command: Command,
    ) => run(command, (context) => publish(context, queue, payload, options)));
}

/** Its words begin with "error:", and end with a suggestion where there is one. */
function wordsOf(
  error: CommanderError,
  program: Command,
  args: readonly string[],
): string {
  const path = pathOf(program, args);
  const more = `${path.map((each) => each.name()).join(" ")} --help says more`;
  if (error.code === "commander.help") {
    const names = path.at(-1)?.commands.map((each) => each.name()).join(", ");
    return `there is no command: it is one of ${names}; ${more}`;
  }
  const words = error.message.replace(/^error: /, "").replaceAll("\n", " ");
  if (error.code === "commander.unknownCommand") {
    const parent = program.commands.find(({ commands }) =>
      commands.some((each) => each.name() === args[0])
    );
    if (parent !== undefined) {
      return `${words}: it is dashi ${parent.name()} ${args[0]}; ${more}`;
    }
  }
  return `${words}; ${more}`.replace(".; ", "; ");
}

/** The program and the commands within it that the arguments name. */
function pathOf(program: Command, args: readonly string[]): Command[] {
  const path = [program];
  for (const each of args) {
    const next = path.at(-1)?.commands.find((child) => child.name() === each);
    if (next !== undefined) path.push(next);
  }
  return path;
}
