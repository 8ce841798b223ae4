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
  /** Of an option that takes a value: its short name, too, and the values, none of which are files'. */
  readonly value?: {
    readonly short?: string | undefined;
    readonly choices: readonly string[];
  } | undefined;
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
    return `        ${quoted(path)}) all=${quoted(all.join(" "))} ;;`;
  });
  const choices = valuesOf(commands).map(([place, { choices }]) =>
    `    ${quoted(place)}) all=${quoted(choices.join(" "))} ;;`
  );
  // It counts "=" and ":" as words of their own.
  return `# source <(dashi completions bash)
_dashi() {
  local place="" option="" all="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    if [[ $option ]]; then
      [[ $word == = ]] || option=""
      continue
    fi
${walk(commands)}
  done
  local typed="\${COMP_WORDS[COMP_CWORD]}"
  [[ $typed != = ]] || typed=""
  case "$option" in
${choices.join("\n")}
    "")
      case "$place" in
${cases.join("\n")}
      esac
      [[ $typed == -* ]] || all="\${all%%--*}" ;;
  esac
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
    return `        ${quoted(path)}) all=(${all.join(" ")}) ;;`;
  });
  const choices = valuesOf(commands).map(([place, { choices }]) =>
    `    ${quoted(place)}) all=(${choices.map(quoted).join(" ")}) ;;`
  );
  // A file "_dashi" in fpath is the function itself when it is called first.
  return `#compdef dashi
# source <(dashi completions zsh), after compinit
_dashi() {
  local place="" option="" word
  local -a all
  for word in "\${(@)words[2,CURRENT-1]}"; do
    if [[ -n $option ]]; then
      option=""
      continue
    fi
${walk(commands)}
  done
  if [[ -z $option && $PREFIX == --*=* ]]; then
    option="$place \${PREFIX%%=*}"
    compset -P '*='
  fi
  case "$option" in
${choices.join("\n")}
    "")
      case "$place" in
${cases.join("\n")}
      esac
      [[ $PREFIX == -* ]] || all=(\${all:#--*}) ;;
  esac
  _describe dashi all || _files
}
if [[ $funcstack[1] == _dashi ]]; then _dashi "$@"; else compdef _dashi dashi; fi
`;
}

/** Goes from a command to one of its own by a word, and stops at an option whose value is to follow: bash and zsh. */
function walk(commands: readonly CompletedCommand[]): string {
  const steps = stepsOf(commands).map(([from, word, to]) =>
    `      ${quoted(`${from} ${word}`)}) place=${quoted(to)} ;;`
  );
  const values = valuesOf(commands).map(([place]) => quoted(place));
  return [
    '    case "$place $word" in',
    ...steps,
    `      ${values.join("|")}) option="$place $word" ;;`,
    "    esac",
  ].join("\n");
}

function fish(commands: readonly CompletedCommand[]): string {
  const steps = stepsOf(commands).map(([from, word, to]) =>
    `      case ${quoted(`${from} ${word}`)}
        set place ${quoted(to)}`
  );
  const values = valuesOf(commands).map(([place]) => quoted(place));
  const lines = commands.flatMap(({ path, words, options }) => {
    const start = `complete -c dashi -n ${quoted(`__dashi_at "${path}"`)}`;
    return [
      ...words.map(({ word, description }) =>
        `${start} -f -a ${word} -d ${quoted(description)}`
      ),
      ...options.map(({ word, description, value }) => {
        const { choices = [] } = value ?? {};
        const flags = value === undefined
          ? ""
          : choices.length === 0
          ? " -r"
          : ` -x -a ${quoted(choices.join(" "))}`;
        return `${start} -l ${word.slice(2)}${flags} -d ${quoted(description)}`;
      }),
    ];
  });
  return `# dashi completions fish | source
function __dashi_at
  set -l place ""
  set -l option ""
  for word in (commandline -opc)[2..]
    if test -n "$option"
      set option ""
      continue
    end
    switch "$place $word"
${steps.join("\n")}
      case ${values.join(" ")}
        set option "$word"
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

/** The options that take a value, each behind its command, by all of its names. */
function valuesOf(
  commands: readonly CompletedCommand[],
): readonly (readonly [string, NonNullable<Completed["value"]>])[] {
  return commands.flatMap(({ path, options }) =>
    options.flatMap(({ word, value }) =>
      value === undefined
        ? []
        : [word, value.short].filter((name) => name !== undefined)
          .map((name) => [`${path} ${name}`, value] as const)
    )
  );
}

/** As one word of any of these shells. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "’")}'`;
}
