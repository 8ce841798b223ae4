import { assertEquals } from "@std/assert";
import { join } from "node:path";
import { dashi } from "./running.ts";

/** What is typed in a folder with the file `dough`, and which words are offered for it, of all that are commands, options, values or that file. */
const ASKED: readonly (readonly [line: string, offered: readonly string[]])[] =
  [
    ["dashi d", ["doctor", "declare", "delete", "dlq"]],
    ["dashi --v", ["--version"]],
    ["dashi dlq re", ["redrive"]],
    ["dashi list b", ["bindings"]],
    ["dashi dlq redrive --r", ["--rate"]],
    ["dashi --json completions z", ["zsh"]],
    ["dashi --url-file d", ["dough"]],
    ["dashi --url-file list pe", ["peek"]],
    ["dashi --url-file=list pe", ["peek"]],
    ["dashi get --count ui --k", ["--keep"]],
    ["dashi get -n ui --k", ["--keep"]],
    ["dashi delete --exchange purge --y", ["--yes"]],
    ["dashi move --topology p", ["plain"]],
    ["dashi move --topology=p", ["plain"]],
    ["dashi publish orders --file d", ["dough"]],
  ];

/** How each shell is asked, after the script was read: its answer to each line stands between lines of `-----`. */
const SHELLS = {
  bash: `source "$0"
for line; do
  words=\${line//=/ = }
  COMP_WORDS=($words); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _dashi
  # The shell goes on with files, as it was told.
  complete -p dashi | grep -q -- '-o default' || exit 1
  [[ \${#COMPREPLY[@]} != 0 ]] || COMPREPLY=($(compgen -f -- "\${COMP_WORDS[COMP_CWORD]}"))
  printf '%s\\n' "\${COMPREPLY[@]}" -----
done`,
  // zsh completes on a terminal alone: one is made, and Tab is pressed.
  zsh: `zmodload zsh/zpty
zpty shell zsh -f -i
ask() { zpty -w shell "$1"; zpty -r -m shell seen "*$2*" }
ask "PS1=; unsetopt zle_bracketed_paste; stty columns 200; fpath=(\${0:h} \\$fpath); autoload -U compinit; compinit -D -u; echo r''eady" ready
[[ $0 == */_dashi ]] || ask "source $0; echo s''ourced" sourced
ask "setopt menu_complete no_always_last_prompt; bindkey '^I' list-choices; echo l''oaded" loaded
for line; do
  zpty -w -n shell "$line"$'\\t'
  zpty -w -n shell $'\\C-a\\C-k'
  ask "echo asked-''all" asked-all
  # Behind the echo of what was typed.
  print -r -- "\${seen#*"$line"}"
  print -- -----
done`,
  fish: `for line in $argv[2..]
  complete -C $line
  echo -----
end`,
} as const;

for (const shell of ["bash", "zsh", "fish"] as const) {
  const isThere = has(shell);
  const why = isThere ? "" : " (it is not installed)";
  Deno.test({
    name: `dashi completions ${shell}${why}`,
    ignore: !isThere,
    fn: () => complete(shell, "dashi.script"),
  });
  if (shell === "zsh") {
    Deno.test({
      name: `dashi completions zsh, as a file of fpath${why}`,
      ignore: !isThere,
      fn: () => complete(shell, "_dashi"),
    });
  }
}

async function complete(
  shell: keyof typeof SHELLS,
  file: string,
): Promise<void> {
  const { code, out, err } = await dashi(["completions", shell]);
  assertEquals([code, err], [0, ""]);
  const named = (out.match(/[\w-]+/g) ?? []).filter((word) => word !== "dashi");
  const known = new Set([
    "dough",
    ...named,
    ...named.map((word) => `--${word}`),
  ]);
  const [folder, scripts] = [
    await Deno.makeTempDir(),
    await Deno.makeTempDir(),
  ];
  try {
    await Deno.writeTextFile(join(folder, "dough"), "");
    const script = join(scripts, file);
    await Deno.writeTextFile(script, out);
    const lines = ASKED.map(([line]) => line);
    const args = {
      bash: ["--norc", "-c", SHELLS.bash, script, ...lines],
      zsh: ["-f", "-c", SHELLS.zsh, script, ...lines],
      fish: [
        "--no-config",
        "-c",
        `source $argv[1]\n${SHELLS.fish}`,
        script,
        ...lines,
      ],
    }[shell];
    const { stdout, stderr, code } = await new Deno.Command(shell, {
      args,
      cwd: folder,
      env: { TERM: "dumb" },
      signal: AbortSignal.timeout(120_000),
    }).output();
    const answered = new TextDecoder().decode(stdout);
    assertEquals(code, 0, `${new TextDecoder().decode(stderr)}${answered}`);
    const answers = answered.split("-----\n");
    assertEquals(answers.length, ASKED.length + 1, answered);
    for (const [i, [line, offered]] of ASKED.entries()) {
      const answer = answers[i] ?? "";
      // fish writes a word and its meaning, and the others descriptions behind "--".
      const words = answer.split("\n")
        .map((each) => /^\s*([^\s=]+=)?(\S+)/.exec(each)?.[2] ?? "")
        .filter((each) => known.has(each));
      assertEquals(words.toSorted(), [...offered].sort(), `${line}: ${answer}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(scripts, { recursive: true });
  }
}

function has(shell: string): boolean {
  try {
    const command = new Deno.Command(shell, { args: ["-c", "exit 0"] });
    return command.outputSync().success;
  } catch {
    return false;
  }
}
