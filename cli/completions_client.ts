import { Argument, type Command } from "commander";
import {
  type Completed,
  type CompletedCommand,
  completionScript,
  type Shell,
  SHELLS,
} from "./completions.ts";

/**
 * Adds the command that writes a shell's completions.
 *
 * @param program The command line, with all other commands.
 * @param write Writes the script.
 */
export function addCompletions(
  program: Command,
  write: (text: string) => void,
): void {
  program.command("completions")
    .description("write a script that completes commands and options")
    .addArgument(new Argument("<shell>", "your shell").choices(SHELLS))
    .addHelpText(
      "after",
      `
Examples:
  source <(dashi completions bash)      in ~/.bashrc
  source <(dashi completions zsh)       in ~/.zshrc, after compinit
  dashi completions fish | source       in ~/.config/fish/config.fish`,
    )
    .action((shell: Shell) =>
      write(completionScript(shell, commandsIn(program, "", [])))
    );
}

/** A command and those below it. Each takes the options of those above, too. */
function commandsIn(
  command: Command,
  path: string,
  above: readonly Completed[],
): readonly CompletedCommand[] {
  const own = command.options.map((each) => ({
    word: each.long ?? "",
    description: each.description,
    value: each.required
      ? { short: each.short, choices: each.argChoices ?? [] }
      : undefined,
  }));
  const options = [...own, ...above];
  const choices = command.registeredArguments[0]?.argChoices ?? [];
  const words = [
    ...command.commands.map((each) => ({
      word: each.name(),
      description: each.description(),
    })),
    ...choices.map((word) => ({ word, description: "" })),
  ];
  const help = { word: "--help", description: "say more" };
  return [
    { path, words, options: [...options, help] },
    ...command.commands.flatMap((each) =>
      commandsIn(each, `${path} ${each.name()}`.trim(), options)
    ),
  ];
}
