import { type Command, InvalidArgumentError, Option } from "commander";
import { positive } from "../options_client.ts";
import type { Terminal } from "../terminal.ts";
import type { UiArguments } from "./ui.ts";

/**
 * Adds the command `ui`. What serves the page is loaded when it runs.
 *
 * @param program The program.
 * @param terminal The terminal.
 * @param end Takes the code to end with.
 */
export function addUi(
  program: Command,
  terminal: Terminal,
  end: (code: number) => void,
): void {
  program.command("ui")
    .description("serve a page on this machine: queues, messages, dead letters")
    .argument(
      "[urls...]",
      "the brokers, without passwords; else those of DASHI_URL or --url-file",
    )
    .addOption(
      new Option("--port <port>", "its port; without one, one that is free")
        .argParser(port).default(0, "a free one"),
    )
    .addOption(
      new Option("--interval <seconds>", "between two looks at a broker")
        .argParser(positive).default(2),
    )
    .addHelpText(
      "after",
      `
Examples:
  dashi ui redis://localhost beanstalk://localhost
  DASHI_URL="$ORDERS_URL $MAILS_URL" dashi ui --port 8080`,
    )
    .action(async (urls: readonly string[], _, command: Command) => {
      const { ui } = await import("./ui.ts");
      end(await ui(terminal, urls, command.optsWithGlobals<UiArguments>()));
    });
}

function port(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) < 65_536) return Number(text);
  throw new InvalidArgumentError("It must be a port, 0 to 65535.");
}
