// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the tests are named
import { assertEquals } from "@std/assert";
import { run } from "../brokers/server.ts";
import { providePython } from "./python.ts";

/** Prints each public name of Kombu's that a text on its input lacks. Another version has other names. */
const NAMES = `
import importlib, re, sys
import kombu
from kombu import transport
if not kombu.__version__.startswith("5.7"): sys.exit()
text = sys.stdin.read()
modules = """kombu connection pools common mixins simple message messaging entity exceptions
  serialization compression pidbox resource matcher clocks utils.json transport
  transport.base transport.virtual""".split()
names = set(transport.TRANSPORT_ALIASES)
for module in modules:
    path = module if module == "kombu" else "kombu." + module
    names.update(getattr(importlib.import_module(path), "__all__", ()))
for held in (kombu.Connection, kombu.Exchange, kombu.Queue, kombu.Producer, kombu.Consumer, kombu.Message):
    names.update(name for name in dir(held) if not name.startswith("_"))
for name in sorted(names):
    if not re.search(r"\\b" + re.escape(name) + r"\\b", text): print(name)
`;

const python = await providePython();

Deno.test({
  name: `docs/kombu.md has every public name of Kombu 5.7${
    "reason" in python ? ` (${python.reason})` : ""
  }`,
  ignore: "reason" in python,
  fn: async () => {
    const page = new URL("../../docs/kombu.md", import.meta.url);
    const program = "python" in python ? python.python : "";
    const text = await Deno.readTextFile(page);
    const missing = await run(program, ["-c", NAMES], {}, text);
    assertEquals(missing.trim().split("\n").filter((name) => name !== ""), []);
  },
});
