/** The types of the package, as the compiler of a user sees them. */

import manifest from "../../deno.json" with { type: "json" };
import { attempt } from "../runtimes/npm.ts";
import { install, type Outcome, PEERS, type Pinned, pinned } from "./user.ts";

/** A user's module without any client installed, with one mistake: in its fifth line. */
const TYPED = `import { createConnection, Queue } from "@dashi/mq";
await using connection = createConnection("memory://");
const queue = new Queue<{ n: number }>("q");
await connection.send(queue, { n: 1 });
await connection.send(queue, { n: "one" });
for await (const message of connection.consumer(queue)) {
  const n: number = message.payload.n;
  console.log(n);
  await message.ack();
  break;
}
`;

/** The ways to find modules, with the kind of modules that each wants. */
const MODULES = [["nodenext", "nodenext"], ["esnext", "bundler"]] as const;

/** The entries that name types of a package, which must be there to check declarations. */
const CLIENTS: readonly string[] = [
  "./amqp",
  "./amqp_client",
  "./mongodb",
  "./redis",
  "./sqs",
  "./telemetry",
];

const ENTRIES: readonly string[] = Object.keys(manifest.exports);

/** The projects of users: what they import, beside what, and by which settings. */
const PROJECTS: readonly Project[] = [
  { title: "every entry and all packages", entries: ENTRIES, peers: PEERS },
  {
    title: "every entry, no package and skipLibCheck",
    entries: ENTRIES,
    peers: [],
    settings: ["--skipLibCheck"],
  },
  {
    title: "no entry of a client, and no package",
    entries: ENTRIES.filter((name) => !CLIENTS.includes(name)),
    peers: [],
  },
];

interface Project {
  readonly title: string;
  readonly entries: readonly string[];
  readonly peers: readonly Pinned[];
  readonly settings?: readonly string[];
}

/**
 * Compiles users' projects, which import every entry of the package. Declarations are
 * checked, too, if the settings do not say otherwise: those of the clients as well.
 *
 * @param folder The folder to work in, which must be there.
 * @param tarball The package.
 * @returns What the compiler made of each.
 */
export async function* types(
  folder: string,
  tarball: string,
): AsyncGenerator<Outcome> {
  const common = [tarball, "@types/node@24", ...pinned("typescript")];
  for (
    const [i, { title, entries, peers, settings = [] }] of PROJECTS.entries()
  ) {
    const user = `${folder}/types-${i}`;
    await install(user, ...common, ...pinned(...peers));
    await Deno.writeTextFile(`${user}/user.mts`, TYPED);
    await Deno.writeTextFile(
      `${user}/entries.mts`,
      entries.map((name, i) =>
        `export * as entry${i} from "${manifest.name}${name.slice(1)}";`
      ).join("\n"),
    );
    for (const [module, resolution] of MODULES) {
      const said = await attempt(
        [`${user}/node_modules/.bin/tsc`, "--strict", "--noEmit", ...settings],
        ...["--target", "es2022", "--lib", "es2024,dom,esnext.disposable"],
        ...["--module", module, "--moduleResolution", resolution],
        ...[`${user}/user.mts`, `${user}/entries.mts`],
      );
      // The one error is the mistake: a payload of another type.
      const isGood = said.match(/error TS/g)?.length === 1 &&
        said.includes("user.mts(5,") && said.includes("TS2322");
      yield [
        `tsc --strict, ${resolution}: ${title}`,
        isGood ? undefined : said,
      ];
    }
  }
}
