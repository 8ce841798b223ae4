/** The files that deploy, build and start something are read as their programs would: YAML, Dockerfiles, workflows. */

import { assert, assertEquals } from "@std/assert";
import { load } from "js-yaml";
import config from "../../deno.json" with { type: "json" };
import { readPages } from "./pages.ts";

const ROOT = new URL("../../", import.meta.url);

/** Blocks of one language in the pages: each with its page. */
function blocksOf(language: string): readonly (readonly [string, string])[] {
  const block = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms");
  return readPages().flatMap(({ path, text }) =>
    [...text.matchAll(block)].map(([, each = ""]) => [path, each] as const)
  );
}

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, ROOT));
}

const WORKFLOWS = [...Deno.readDirSync(new URL(".github/workflows/", ROOT))]
  .map(({ name }) => `.github/workflows/${name}`).toSorted();

interface Workflow {
  readonly on: unknown;
  readonly jobs: Readonly<Record<string, Job>>;
}

interface Job {
  readonly needs?: string | readonly string[];
  readonly strategy?: {
    readonly matrix: { readonly include: readonly { runtime: string }[] };
  };
  readonly steps: readonly { readonly run?: string; readonly uses?: string }[];
}

for (const path of WORKFLOWS) {
  Deno.test(`${path} is YAML, each job is there that another needs, and each task that it runs`, () => {
    const { on, jobs } = load(read(path)) as Workflow;
    assert(typeof on === "object");
    let count = 0;
    for (const { needs = [], steps, strategy } of Object.values(jobs)) {
      for (const each of [needs].flat()) assert(jobs[each] !== undefined, each);
      for (const { run, uses } of steps) {
        assertEquals([run, uses].filter(Boolean).length, 1);
        const runtimes = strategy?.matrix.include ?? [{ runtime: "" }];
        for (const { runtime } of runtimes) {
          const told = run?.replaceAll("${RUNTIME}", runtime) ?? "";
          for (const [, task] of told.matchAll(/deno task "?([\w:]+)/g)) {
            assert(Object.hasOwn(config.tasks, task ?? ""), task);
            count++;
          }
        }
      }
    }
    assert(count > 0, "it runs no task");
  });
}

Deno.test("compose.yaml is YAML, and each service is on loopback and tells when it is there", () => {
  const { services } = load(read("compose.yaml")) as {
    readonly services: Readonly<
      Record<string, { ports?: readonly string[]; healthcheck?: unknown }>
    >;
  };
  for (
    const [name, { ports = [], healthcheck }] of Object.entries(services)
  ) {
    assert(ports.every((each) => each.startsWith("127.0.0.1:")), name);
    assert(healthcheck !== undefined, name);
  }
});

Deno.test("blocks of YAML in the pages are YAML, and their probes are those that Health answers", () => {
  const blocks = blocksOf("yaml");
  assert(blocks.length >= 2);
  const probes = new Set<string>();
  for (const [page, text] of blocks) {
    assert(typeof load(text) === "object", page);
    for (const [, path = ""] of text.matchAll(/path: (\/\w+)/g)) {
      probes.add(path);
    }
  }
  const health = read("docs/health.md");
  for (const each of probes) assert(health.includes(`"${each}"`), each);
});

Deno.test("Dockerfiles in the pages have instructions alone, and start a file that they have copied", () => {
  const files = blocksOf("dockerfile");
  assert(files.length >= 2);
  for (const [page, text] of files) {
    const lines = text.trimEnd().split("\n");
    for (const line of lines) {
      assert(/^(?:FROM|WORKDIR|COPY|RUN|USER|CMD) \S/.test(line), line);
    }
    const [command = ""] = lines.filter((each) => each.startsWith("CMD "));
    const words: unknown = JSON.parse(command.slice(4));
    assert(Array.isArray(words) && words.length > 1, `${page}: ${command}`);
    const copied = lines.filter((each) => each.startsWith("COPY ")).join(" ");
    const program = String(words.at(-1));
    assert(copied.split(" ").includes(program), program);
  }
});

Deno.test("the unit of systemd has sections of settings alone, and starts what the page's Dockerfile starts", () => {
  const [[, unit = ""] = []] = blocksOf("ini");
  const sections = unit.split("\n").filter((each) => each.startsWith("["));
  assertEquals(sections, ["[Unit]", "[Service]", "[Install]"]);
  for (const line of unit.trimEnd().split("\n")) {
    assert(/^(?:\[\w+\]|[A-Z]\w+=.+|)$/.test(line), line);
  }
  const start = /^ExecStart=\S+ (.*)$/m.exec(unit)?.[1] ?? "";
  const commands = blocksOf("dockerfile").map(([, text]) =>
    JSON.parse(/^CMD (.*)$/m.exec(text)?.[1] ?? "[]").join(" ")
  );
  assert(commands.includes(start), start);
});
