/** Loaded before a file of unit tests: notes in the file that `REACH` names which blocks it reaches. */

const reached = new Set<string>();
globalThis.reached = (block) => reached.add(block);
const began = performance.now();
globalThis.addEventListener("unload", () => {
  Deno.writeTextFileSync(
    Deno.env.get("REACH") ?? "",
    JSON.stringify({
      blocks: [...reached],
      milliseconds: performance.now() - began,
    }),
  );
});
