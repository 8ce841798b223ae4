import { assert, assertEquals } from "@std/assert";
import { dashi } from "./running.ts";

/** What each shell is asked, and what it must answer with. */
const ASKED = [
  ["dashi d", ["doctor", "declare", "delete", "dlq"]],
  ["dashi --v", ["--version"]],
  ["dashi dlq re", ["redrive"]],
  ["dashi dlq redrive --r", ["--rate"]],
  ["dashi --json completions z", ["zsh"]],
] as const;

/** How each shell is asked, after the script was read: it prints a word a line. */
const SHELLS = {
  bash: (script: string, line: string) => [
    "-c",
    `source "$1"; COMP_WORDS=($2); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _dashi
    printf '%s\\n' "\${COMPREPLY[@]}"; complete -p dashi >&2`,
    "bash",
    script,
    line,
  ],
  zsh: (script: string, line: string) => ["-f", "-c", ZSH, "zsh", script, line],
  fish: (script: string, line: string) => [
    "--no-config",
    "-c",
    "source $argv[1]; complete -C $argv[2]",
    script,
    line,
  ],
} as const;

/** zsh completes on a terminal alone: one is made, and Tab is pressed. */
const ZSH = `
zmodload zsh/zpty
zpty shell zsh -f -i
ask() { zpty -w shell "$1"; zpty -r -m shell seen "*$2*" }
ask "PS1=; unsetopt zle_bracketed_paste; stty columns 200; autoload -U compinit; compinit -D; echo r''eady" ready
ask "source $1; setopt menu_complete no_always_last_prompt; bindkey '^I' list-choices; echo l''oaded" loaded
zpty -w -n shell "$2"$'\\t'
zpty -w -n shell $'\\C-a\\C-k'
ask "echo asked-''all" asked-all
print -r -- "$seen"
`;

for (const [shell, how] of Object.entries(SHELLS)) {
  const isThere = has(shell);
  Deno.test({
    name: `dashi completions ${shell}${
      isThere ? "" : " (it is not installed)"
    }`,
    ignore: !isThere,
    fn: () => complete(shell, how),
  });
}

async function complete(
  shell: string,
  how: (script: string, line: string) => readonly string[],
): Promise<void> {
  const { code, out, err } = await dashi(["completions", shell]);
  assertEquals([code, err], [0, ""]);
  const script = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(script, out);
    for (const [line, expected] of ASKED) {
      const { stdout, stderr, code } = await new Deno.Command(shell, {
        args: [...how(script, line)],
        env: { TERM: "dumb" },
      }).output();
      const words = new TextDecoder().decode(stdout).split(/\s+/);
      assertEquals(code, 0, new TextDecoder().decode(stderr));
      for (const each of expected) {
        assert(words.includes(each), words.join(" "));
      }
      assert(!words.includes("ping"), words.join(" "));
    }
  } finally {
    await Deno.remove(script);
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
