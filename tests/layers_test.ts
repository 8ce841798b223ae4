import { assert, assertEquals } from "@std/assert";
import config from "../deno.json" with { type: "json" };

const ROOT = new URL("../", import.meta.url).pathname;
const LAYERS: Readonly<Record<string, number>> = {
  model: 0,
  async: 1,
  url: 2,
  virtual: 2,
  codec: 2,
  transports: 3,
  messaging: 4,
  telemetry: 5,
  testing: 5,
  "mod.ts": 5,
  cli: 6,
  tests: 7,
};

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly isDynamic: boolean;
}

interface Graph {
  readonly modules: ReadonlySet<string>;
  readonly edges: readonly Edge[];
}

interface Info {
  readonly modules: readonly {
    readonly specifier: string;
    readonly dependencies?: readonly {
      readonly specifier: string;
      readonly isDynamic?: boolean;
      readonly code?: { readonly specifier?: string };
      readonly type?: { readonly specifier?: string };
    }[];
  }[];
}

/** Of each entry that was asked for: a process of Deno's finds it. */
const graphs = new Map<string, Promise<Graph>>();

/** The modules that an entry leads to, types included, by their paths in the project. */
function graphOf(entry: string): Promise<Graph> {
  const graph = graphs.get(entry) ?? findGraph(entry);
  graphs.set(entry, graph);
  return graph;
}

async function findGraph(entry: string): Promise<Graph> {
  const { stdout, success } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: ROOT,
    stderr: "null",
  }).output();
  assert(success, `deno info ${entry}`);
  const info: Info = JSON.parse(new TextDecoder().decode(stdout));
  const modules = new Set<string>();
  const edges: Edge[] = [];
  for (const { specifier, dependencies = [] } of info.modules) {
    const from = pathOf(specifier);
    modules.add(from);
    for (const { specifier: text, code, type, isDynamic } of dependencies) {
      const to = pathOf(code?.specifier ?? type?.specifier ?? text);
      edges.push({ from, to, isDynamic: isDynamic ?? false });
    }
  }
  return { modules, edges };
}

function pathOf(specifier: string): string {
  const base = `file://${ROOT}`;
  return specifier.startsWith(base) ? specifier.slice(base.length) : specifier;
}

function isOurs(path: string): boolean {
  return !path.includes(":");
}

function layerOf(path: string): number {
  return LAYERS[path.split("/")[0] ?? ""] ?? NaN;
}

function brokerOf(path: string): string | undefined {
  return /^transports\/([a-z_]+)\//.exec(path)?.[1];
}

async function all(): Promise<Graph> {
  const graphs = await Promise.all(Object.values(config.exports).map(graphOf));
  return {
    modules: new Set(graphs.flatMap(({ modules }) => [...modules])),
    edges: graphs.flatMap(({ edges }) => edges),
  };
}

const show = ({ from, to }: Edge) => `${from} -> ${to}`;

Deno.test("no module imports from a higher layer, and pure folders not each other", async () => {
  const { edges } = await all();
  const ours = edges.filter(({ from, to }) => isOurs(from) && isOurs(to));
  assert(ours.length > 200);
  const wrong = ours.filter(({ from, to }) => {
    const [a, b] = [layerOf(from), layerOf(to)];
    assert(!Number.isNaN(a) && !Number.isNaN(b), `${from} -> ${to}`);
    return b > a ||
      (a === b && a === 2 && from.split("/")[0] !== to.split("/")[0]);
  });
  assertEquals(wrong.map(show), []);
});

/** The two AMQP clients share a folder, which is no broker, and so do databases of SQL: it is for them alone. */
const SHARED: Readonly<Record<string, readonly string[]>> = {
  amqp_protocol: ["amqp", "amqp_client"],
  sql: ["postgres", "sqlite"],
};

Deno.test("a broker's folder imports no other broker's, and nobody theirs but load.ts", async () => {
  const { edges } = await all();
  const wrong = edges.filter(({ from, to }) => {
    const [a = "", b] = [brokerOf(from), brokerOf(to)];
    if (b === undefined || b === "store" || b === "records" || a === b) {
      return false;
    }
    if (SHARED[b] !== undefined) return !SHARED[b].includes(a);
    return from !== "transports/load.ts";
  });
  assertEquals(wrong.map(show), []);
});

Deno.test("messaging/ sees transports by transport.ts and load.ts alone", async () => {
  const { edges } = await graphOf("mod.ts");
  const wrong = edges.filter(({ from, to }) =>
    from.startsWith("messaging/") && to.startsWith("transports/") &&
    to !== "transports/transport.ts" && to !== "transports/load.ts"
  );
  assertEquals(wrong.map(show), []);
});

Deno.test("the edges out of load.ts into brokers are dynamic, and lead to all of them", async () => {
  const { edges } = await graphOf("mod.ts");
  const out = edges.filter(({ from, to }) =>
    from === "transports/load.ts" && brokerOf(to) !== undefined
  );
  assertEquals(
    out.map(({ to }) => to).sort(),
    Object.values(config.exports).filter((path) =>
      brokerOf(path.slice(2)) !== undefined && !/\/(store|records)\//.test(path)
    ).map((path) => path.slice(2)).sort(),
  );
  assertEquals(out.filter(({ isDynamic }) => !isDynamic).map(show), []);
});

Deno.test("there are no circles of imports, and none of types", async () => {
  const next = new Map<string, Set<string>>();
  for (const { from, to } of (await all()).edges) {
    if (!isOurs(from) || !isOurs(to)) continue;
    const found = next.get(from) ?? new Set();
    next.set(from, found.add(to));
  }
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (path: string, trail: readonly string[]) => {
    if (trail.includes(path)) {
      circles.push([...trail.slice(trail.indexOf(path)), path].join(" -> "));
      return;
    }
    if (done.has(path)) return;
    for (const to of next.get(path) ?? []) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const path of next.keys()) visit(path, []);
  assertEquals(circles, []);
});

Deno.test("only client.ts, *_client.ts and codec/ name a package or a runtime's module", async () => {
  const { edges } = await all();
  const wrong = edges.filter(({ from, to }) =>
    isOurs(from) && !isOurs(to) && !/(?:\/|_)client\.ts$/.test(from) &&
    !from.startsWith("codec/") && !from.startsWith("tests/")
  );
  assertEquals(wrong.map(show), []);
});

Deno.test("published source has no Deno.*, and mod.ts files only re-export", async () => {
  const { modules } = await all();
  for (const path of modules) {
    if (!isOurs(path)) continue;
    const code = (await Deno.readTextFile(ROOT + path))
      .replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "")
      .replace(/"[^"\n]*"/g, '""');
    assert(!/\bDeno\./.test(code), `${path} uses Deno.*`);
    if (path.startsWith("tests/") || !path.endsWith("mod.ts")) continue;
    const statements = code.split(";").map((each) => each.trim());
    for (const each of statements) {
      assert(each === "" || each.startsWith("export "), `${path}: ${each}`);
      assert(!/^export (const|function|class|default)/.test(each), each);
    }
  }
});

Deno.test("importing mod.ts loads no package, and no broker", async () => {
  const { edges } = await graphOf("mod.ts");
  const seen = new Set(["mod.ts"]);
  for (const path of seen) {
    for (const edge of edges) {
      if (edge.from === path && !edge.isDynamic) seen.add(edge.to);
    }
  }
  assertEquals([...seen].filter((path) => !isOurs(path)), []);
  assertEquals(
    [...seen].filter((path) => brokerOf(path) !== undefined),
    [],
  );
});
