// deno-lint-ignore-file no-top-level-await -- what the broker can do must be known before its cases are named
import { folderTransport } from "../../examples/folder_transport.ts";
import { registerConformance } from "../support/register.ts";

const folder = await Deno.makeTempDir({ prefix: "dashi-folder-" });
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(folder, { recursive: true }),
);

await registerConformance("examples/folder_transport.ts", {
  transport: folderTransport,
  url: `folder://${folder}`,
});
