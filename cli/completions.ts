/** A command, as completions see it. */
export interface CompletedCommand {
  /** Its name behind the program's: `dlq show`; `""` is the program itself. */
  readonly path: string;
  /** The commands and choices that may follow it. */
  readonly words: readonly Completed[];
  /** The options that it takes. */
  readonly options: readonly Completed[];
}

/** A word that may be typed. */
export interface Completed {
  readonly word: string;
  readonly description: string;
}

/** The shells whose completions can be written. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

/** A shell. */
export type Shell = (typeof SHELLS)[number];

/** Each writes a script. */
const SCRIPTS: Readonly<
  Record<Shell, (commands: readonly CompletedCommand[]) => string>
> = { bash, zsh, fish };

/**
 * Writes the script by which a shell completes what is typed behind `dashi`.
 *
 * @param shell The shell.
 * @param commands All commands.
 * @returns The script.
 */
export function completionScript(
  shell: Shell,
  commands: readonly CompletedCommand[],
): string {
  return SCRIPTS[shell](commands);
}

function bash(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ path, words, options }) => {
    const all = [...words, ...options].map(({ word }) => word);
    return `    ${quoted(path)}) all=${quoted(all.join(" "))} ;;`;
  });
  return `# source <(dashi completions bash)
_dashi() {
  local path="" all="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
${walk(commands, "    ")}
  done
  case "$path" in
${cases.join("\n")}
  esac
  local typed="\${COMP_WORDS[COMP_CWORD]}"
  [[ $typed == -* ]] || all="\${all%%--*}"
  COMPREPLY=($(compgen -W "$all" -- "$typed"))
}
complete -o default -F _dashi dashi
`;
}

function zsh(commands: readonly CompletedCommand[]): string {
  const cases = commands.map(({ path, words, options }) => {
    const all = [...words, ...options].map(({ word, description }) =>
      quoted(`${word.replaceAll(":", "\\:")}:${description}`)
    );
    return `    ${quoted(path)}) all=(${all.join(" ")}) ;;`;
  });
  // "path" is the shell's own variable.
  return `#compdef dashi
# source <(dashi completions zsh), after compinit
_dashi() {
  local place="" word
  local -a all
  for word in "\${(@)words[2,CURRENT-1]}"; do
${walk(commands, "    ").replaceAll("path", "place")}
  done
  case "$place" in
${cases.join("\n")}
  esac
  [[ $PREFIX == -* ]] || all=(\${all:#--*})
  _describe dashi all || _files
}
compdef _dashi dashi
`;
}

/** Goes from a command to one of its own, by the words that are there. */
function walk(
  commands: readonly CompletedCommand[],
  indent: string,
): string {
  const steps = stepsOf(commands).map(([from, word, to]) =>
    `${indent}  ${quoted(`${from} ${word}`)}) path=${quoted(to)} ;;`
  );
  return [
    `${indent}case "$path $word" in`,
    ...steps,
    `${indent}esac`,
  ].join("\n");
}

function fish(commands: readonly CompletedCommand[]): string {
  const steps = stepsOf(commands).map(([from, word, to]) =>
    `      case ${quoted(`${from} ${word}`)}
        set place ${quoted(to)}`
  );
  const lines = commands.flatMap(({ path, words, options }) =>
    [...words, ...options].map(({ word, description }) => {
      const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
      const files = word.startsWith("--") ? "" : "-f ";
      return `complete -c dashi -n ${
        quoted(`__dashi_at "${path}"`)
      } ${files}${what} -d ${quoted(description)}`;
    })
  );
  return `# dashi completions fish | source
function __dashi_at
  set -l place ""
  for word in (commandline -opc)[2..]
    switch "$place $word"
${steps.join("\n")}
    end
  end
  test "$place" = "$argv[1]"
end
${lines.join("\n")}
`;
}

/** From which command which word leads where. */
function stepsOf(
  commands: readonly CompletedCommand[],
): readonly (readonly [string, string, string])[] {
  return commands.filter(({ path }) => path !== "").map(({ path }) => {
    const at = path.lastIndexOf(" ");
    return [path.slice(0, Math.max(at, 0)), path.slice(at + 1), path];
  });
}

/** As one word of any of these shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}
