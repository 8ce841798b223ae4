import { assertMatch, assertRejects } from "@std/assert";
import { play } from "./session.ts";

Deno.test("a session whose time is over starts no further program, which nobody would end", async () => {
  const steps = ["one", "two"].map((name) => ({
    command: `deno run -NE ${name}.ts &`,
    lines: ["a line that never comes"],
  }));
  const stage = {
    url: "memory://",
    runtime: ["/bin/sh", "-c", "exec sleep 60"],
  };
  const error = await assertRejects(() => play(steps, stage, 300), Error);
  assertMatch(
    error.message,
    /^After 0\.3 s "deno run -NE two\.ts &" had not begun; until then was printed: \[\]$/,
  );
});
