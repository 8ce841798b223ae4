/** The job that publishes on npm is run with npm itself, against a registry that notes what it is sent. */

import { assertEquals, assertMatch } from "@std/assert";
import { load } from "js-yaml";

const WORKFLOW = new URL(
  "../../.github/workflows/publish.yml",
  import.meta.url,
);

/** A step of a job that runs a script of the shell. */
interface Step {
  readonly run?: string;
  readonly "working-directory"?: string;
  readonly env?: Readonly<Record<string, string>>;
}

interface Workflow {
  readonly jobs: {
    readonly npm: { readonly steps: readonly Step[] };
  };
}

/** What npm sends to a registry to publish a version. */
interface Published {
  readonly access: string;
  readonly "dist-tags": Readonly<Record<string, string>>;
  readonly versions: Readonly<
    Record<string, { readonly repository: { readonly url: string } }>
  >;
}

const { jobs } = load(Deno.readTextFileSync(WORKFLOW)) as Workflow;
/** The steps that follow `deno task pack`, in the folder that it has made. */
const STEPS = jobs.npm.steps.filter((each) =>
  each["working-directory"] === "dist"
);

/** A registry, and the folder of a user who may write to it. */
class Registry implements AsyncDisposable {
  readonly published: Published[] = [];
  readonly home: string = Deno.makeTempDirSync({ prefix: "dashi-publish-" });
  readonly #server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
  }, async (request) => {
    if (request.method !== "PUT") return new Response("{}", { status: 404 });
    this.published.push(await request.json());
    return new Response("{}", { status: 201 });
  });

  constructor() {
    const at = `//127.0.0.1:${this.#server.addr.port}/`;
    Deno.writeTextFileSync(
      `${this.home}/.npmrc`,
      `registry=http:${at}\n${at}:_authToken=t\nupdate-notifier=false\n`,
    );
  }

  /** Runs the steps for a version, as the runner of the workflow runs them. */
  async publish(
    version: string,
    envOf: (step: Step) => Step["env"] = () => ({}),
  ): Promise<string> {
    const dist = `${this.home}/dist-${version}`;
    await Deno.mkdir(dist);
    await Deno.writeTextFile(
      `${dist}/package.json`,
      JSON.stringify({ name: "@dashi/mq", version }),
    );
    await Deno.writeTextFile(`${dist}/dashi-mq-${version}.tgz`, "");
    let said = "";
    for (const step of STEPS) {
      const { code, stderr } = await new Deno.Command("bash", {
        args: ["-e", "-c", step.run ?? ""],
        cwd: dist,
        // Without what the runner of a workflow would tell: it is a test of one there, too.
        clearEnv: true,
        env: {
          PATH: Deno.env.get("PATH") ?? "",
          HOME: this.home,
          GITHUB_REF_NAME: `v${version}`,
          GITHUB_SERVER_URL: "https://github.com",
          GITHUB_REPOSITORY: "someone/dashi",
          ...envOf(step),
        },
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      }).output();
      if (code !== 0) said += new TextDecoder().decode(stderr);
    }
    return said;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.home, { recursive: true });
  }
}

const TAGS: readonly (readonly [version: string, tag: string])[] = [
  ["0.2.0", "latest"],
  ["0.2.0-rc.1", "next"],
  ["0.2.0+build-7", "latest"],
];

for (const [version, tag] of TAGS) {
  Deno.test(`v${version} becomes "${tag}" on npm`, async () => {
    await using registry = new Registry();
    assertEquals(await registry.publish(version), "");
    const [sent, ...more] = registry.published;
    assertEquals(more, []);
    const [bare = ""] = version.split("+"); // npm leaves out the build
    assertEquals(sent?.["dist-tags"], { [tag]: bare });
    assertEquals(sent?.access, "public");
    assertEquals(
      sent?.versions[bare]?.repository.url,
      "git+https://github.com/someone/dashi.git",
    );
  });
}

Deno.test("what is published on npm tells by whom it was built: npm refuses to, where that cannot be told", async () => {
  await using registry = new Registry();
  const said = await registry.publish("0.2.0", ({ env }) => env);
  assertMatch(said, /provenance generation not supported/);
  assertEquals(registry.published, []);
});
