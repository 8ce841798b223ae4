import { type Command, Option } from "commander";
import {
  listDeadLetters,
  MOST,
  purge,
  showDeadLetters,
  type ShowOptions,
} from "./dead_letters.ts";
import {
  collect,
  countOption,
  rate,
  type Run,
  whole,
} from "./options_client.ts";
import {
  dropDeadLetters,
  redriveDeadLetters,
  type RedriveOptions,
  type Which,
} from "./redrive.ts";

const ID = "--id <id>";
const ID_TEXT = "the one message that has this id";
const FILTERS = `
A filter is a field of what "dlq show --json" writes, an operator, and a value:
  reason=expired             equal, as text
  headers.tenant!=7          not equal, or not there
  failure~timeout            contains, in upper or lower case
  payload.customer.id=7      a field within a field
Of several all must hold.`;

/**
 * Adds the commands of dead letters.
 *
 * @param program The command line.
 * @param run Runs a command's action.
 */
export function addDeadLetters(program: Command, run: Run): void {
  const letters = program.command("dlq").description(
    "dead letters: list, show, redrive, drop and purge them",
  ).addHelpText("after", "\nExample:\n  dashi dlq redrive --help");
  letters.command("list")
    .description("list the queues of dead letters")
    .addHelpText("after", "\nExample:\n  dashi dlq list")
    .action((_, command: Command) => run(command, listDeadLetters));
  letters.command("show")
    .description("show dead letters, and why each is one")
    .argument("<queue>", "the queue that they lie in")
    .addOption(countOption("how many at most", 10, MOST))
    .option(ID, ID_TEXT)
    .addOption(filterOption())
    .addHelpText(
      "after",
      `${FILTERS}

Examples:
  dashi dlq show orders.failed -n 3
  dashi dlq show orders.failed --id 5f0c…
  dashi dlq show orders.failed --filter failure~timeout`,
    )
    .action((queue: string, options: ShowOptions, command: Command) =>
      run(command, (context) => showDeadLetters(context, queue, options))
    );
  addRedrive(letters, run);
  letters.command("drop")
    .description("remove some dead letters, and leave the others")
    .argument("<queue>", "the queue that they lie in")
    .option(ID, ID_TEXT)
    .addOption(filterOption())
    .addOption(limitOption())
    .option("--yes", "you are sure")
    .addHelpText(
      "after",
      `${FILTERS}

Examples:
  dashi dlq drop orders.failed --id 5f0c… --yes
  dashi dlq drop orders.failed --filter reason=expired --yes`,
    )
    .action((
      queue: string,
      options: Which & { readonly yes?: boolean },
      command: Command,
    ) => run(command, (context) => dropDeadLetters(context, queue, options)));
  addPurge(letters, run, "dashi dlq purge orders.failed --yes");
}

function addRedrive(letters: Command, run: Run): void {
  letters.command("redrive")
    .description("put dead letters back to where they came from")
    .argument("<queue>", "the queue that they lie in")
    .option("--to <queue>", "put all of them into this queue")
    .option(ID, ID_TEXT)
    .addOption(filterOption())
    .addOption(limitOption())
    .addOption(
      new Option("--rate <number/s>", "how fast at most: 50/s, 30/m, 10/h")
        .argParser(rate),
    )
    .option("--dry-run", "say what would be done, and do nothing")
    .addHelpText(
      "after",
      `${FILTERS}

Examples:
  dashi dlq redrive orders.failed --limit 10 --dry-run
  dashi dlq redrive orders.failed --id 5f0c…
  dashi dlq redrive orders.failed --filter from=orders --rate 50/s`,
    )
    .action((queue: string, options: RedriveOptions, command: Command) =>
      run(command, (context) => redriveDeadLetters(context, queue, options))
    );
}

/**
 * Adds the command that empties a queue.
 *
 * @param parent The command that it is one of.
 * @param run Runs a command's action.
 * @param example How it is called.
 */
export function addPurge(parent: Command, run: Run, example: string): void {
  parent.command("purge")
    .description("remove all ready messages of a queue")
    .argument("<queue>", "the queue")
    .option("--yes", "you are sure")
    .addHelpText("after", `\nExample:\n  ${example}`)
    .action((
      queue: string,
      { yes = false }: { readonly yes?: boolean },
      command: Command,
    ) => run(command, (context) => purge(context, queue, yes)));
}

function filterOption(): Option {
  return new Option(
    "--filter <field=value>",
    "only those; as often as you like",
  )
    .argParser(collect);
}

function limitOption(): Option {
  return new Option("--limit <number>", "how many at most").argParser(whole);
}
