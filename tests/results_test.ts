import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  brokerTable,
  count,
  failures,
  readReport,
  slowestTests,
} from "./results.ts";

const REPORT = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="deno test" tests="6" failures="1" errors="0" time="0.027">
    <testsuite name="./tests/transports/redis_test.ts" tests="3">
        <testcase name="redis: a &amp; &quot;b&quot;" classname="./tests/transports/redis_test.ts" time="0.250" line="1" col="6">
        </testcase>
        <testcase name="redis: a &amp; &quot;b&quot; &gt; a step" classname="./tests/transports/redis_test.ts" time="0.100" line="1" col="6">
        </testcase>
        <testcase name="redis: failing" classname="./tests/transports/redis_test.ts" time="0.000" line="2" col="6">
            <failure message="1 test step failed">1 test step failed.</failure>
        </testcase>
        <testcase name="redis: failing &gt; its step" classname="./tests/transports/redis_test.ts" time="0.000" line="2" col="6">
            <failure message="Uncaught Error: y">Error: y</failure>
        </testcase>
        <testcase name="redis: off (no reason)" classname="./tests/transports/redis_test.ts" time="0.000" line="2" col="6">
            <skipped/>
        </testcase>
    </testsuite>
    <testsuite name="./tests/faults/memory_test.ts" tests="2">
        <testcase name="mongodb: heap" classname="./tests/faults/memory_test.ts" time="1.000" line="1" col="6">
            <failure message="Uncaught">Error: x &lt;testcase&gt;
    at b.ts
    at c.ts</failure>
        </testcase>
        <testcase name="heap &gt; of a name" classname="./tests/faults/memory_test.ts" time="1.000" line="1" col="6">
        </testcase>
    </testsuite>
    <testsuite name="./tests/interop/ferretdb_test.ts" tests="1">
        <testcase name="mongodb with Kombu" classname="./tests/interop/ferretdb_test.ts" time="1.000" line="1" col="6">
        </testcase>
    </testsuite>
</testsuites>`;

const broker = (title: string, tests: RegExp) => ({
  title,
  version: "1.2",
  how: "was installed",
  seconds: 1.25,
  tests,
});

Deno.test("a report is read: names in full, steps with their test", () => {
  const results = readReport(REPORT);
  assertEquals(results.map(({ name, outcome }) => [name, outcome]), [
    ['redis: a & "b"', "passed"],
    ["redis: failing", "failed"],
    ["redis: off (no reason)", "skipped"],
    ["mongodb: heap", "failed"],
    ["heap > of a name", "passed"],
    ["mongodb with Kombu", "passed"],
  ]);
  assertEquals(count(results), { passed: 3, failed: 2, skipped: 1 });
});

Deno.test("the closing table counts each broker's tests, by file and then by name", () => {
  const table = brokerTable(readReport(REPORT), [
    broker("Redis", /redis/i),
    broker("MongoDB", /mongo/i),
    broker("FerretDB", /ferretdb/i),
  ]).split("\n").map((line) => line.replace(/ {2,}/g, " | "));
  assertEquals(table, [
    "Broker | Version | Had | Seconds | Passed | Failed | Skipped",
    "Redis | 1.2 | was installed | 1.3 | 1 | 1 | 1",
    "MongoDB | 1.2 | was installed | 1.3 | 0 | 1 | 0",
    "FerretDB | 1.2 | was installed | 1.3 | 1 | 0 | 0",
    "(none) | 1 | 0 | 0",
  ]);
});

Deno.test("the slowest tests come first", () => {
  const results = readReport(REPORT).toReversed();
  const [first = "", , , last = ""] = slowestTests(results, 4).split("\n");
  assertStringIncludes(first, "1.0 s  mongodb with Kombu");
  assertStringIncludes(last, '0.3 s  redis: a & "b"');
});

Deno.test("a failed test is told by file and name, with the first lines of its error", () => {
  assertEquals(failures(readReport(REPORT), 3).split("\n"), [
    "tests/transports/redis_test.ts => redis: failing",
    "    1 test step failed.",
    "    redis: failing > its step",
    "    Error: y",
    "tests/faults/memory_test.ts => mongodb: heap",
    "    Error: x <testcase>",
    "        at b.ts",
    "        at c.ts",
  ]);
});
