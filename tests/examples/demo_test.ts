/** `deno task demo` does what it tells. */

import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../../", import.meta.url).pathname;

Deno.test("the demo's killed worker, retries and dead letter end well", async () => {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "examples/demo.ts"],
    cwd: ROOT,
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(120_000),
  }).output();
  const text = new TextDecoder().decode(stdout);
  assertEquals(code, 0, new TextDecoder().decode(stderr));
  for (
    const line of [
      /^job 7 had begun in worker \d, which was killed \(SIGKILL\)$/m,
      /^job 7 was finished by worker \d$/m,
      /^job 12 failed in worker \d: it is tried again$/m,
      /^job 30 is a dead letter after 3 attempts: /m,
      /^all 40 jobs are done; none was lost$/m,
    ]
  ) assert(line.test(text), `${line} in ${text}`);
  assert(text.includes("connection.consumer(jobs"), text);
});

Deno.test("the demo wants a broker that processes share", async () => {
  const { code, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--quiet", "--no-check", "examples/demo.ts"]
      .concat("memory://"),
    cwd: ROOT,
    stdout: "null",
    stderr: "piped",
  }).output();
  assertEquals(code, 1);
  assert(
    new TextDecoder().decode(stderr).startsWith(
      "memory:// lives in one process, and each worker of the demo is one",
    ),
  );
});
