import { assertEquals } from "@std/assert";
import { COUNTS, Ledger, noted, type Tally } from "./ledger.ts";
import { messageTable, readTallies } from "./tallies.ts";

/** Counts the messages of a run: those sent, confirmed and delivered. */
function tallyOf(
  sent: readonly number[],
  confirmed: readonly number[],
  delivered: readonly unknown[],
): Tally {
  const ledger = new Ledger();
  for (const id of sent) ledger.send(id);
  for (const id of confirmed) ledger.confirm(id);
  for (const id of delivered) ledger.deliver(id);
  return ledger.tally();
}

function countsOf(
  ...run: Parameters<typeof tallyOf>
): Record<string, number> {
  const tally = tallyOf(...run);
  return Object.fromEntries(
    COUNTS.map((name) => [name, tally[name]] as const)
      .filter(([, count]) => count > 0),
  );
}

Deno.test("a run in which all arrives has nothing but that", () => {
  assertEquals(countsOf([1, 2, 3], [1, 2, 3], [3, 1, 2]), {
    published: 3,
    confirmed: 3,
    delivered: 3,
  });
});

Deno.test("a message that was confirmed and never came is lost, and one that was not confirmed is not", () => {
  assertEquals(countsOf([1, 2, 3], [1, 2], [1]), {
    published: 3,
    confirmed: 2,
    delivered: 1,
    lost: 1,
  });
});

Deno.test("a message that was not confirmed and came is recovered", () => {
  assertEquals(countsOf([1, 2], [1], [1, 2]), {
    published: 2,
    confirmed: 1,
    delivered: 2,
    recovered: 1,
  });
});

Deno.test("a message that nobody sent is unexpected, once, and neither delivered nor recovered", () => {
  assertEquals(countsOf([1], [1], [1, 2, "1", undefined, NaN]), {
    published: 1,
    confirmed: 1,
    delivered: 1,
    unexpected: 4,
  });
});

Deno.test("a message that comes again is duplicated, as often as it does", () => {
  assertEquals(countsOf([1, 2], [1], [1, 1, 1, 2, 2, 7]), {
    published: 2,
    confirmed: 1,
    delivered: 2,
    duplicated: 3,
    recovered: 1,
    unexpected: 1,
  });
});

Deno.test("settle() waits for what is missing, and for nothing else", async () => {
  const ledger = new Ledger();
  for (const id of [1, 2]) ledger.send(id);
  ledger.confirm(1);
  const settled = ledger.settle();
  ledger.deliver(1);
  await settled;
  assertEquals(ledger.missing, 0);
});

Deno.test("the closing table sums up what ledgers have noted", async () => {
  const path = await Deno.makeTempFile();
  try {
    noted(tallyOf([1, 2, 3], [1, 2], [1, 3, 3]), path);
    noted(tallyOf([1], [1], [1, 9]), path);
    const text = messageTable(readTallies(await Deno.readTextFile(path)));
    const [names = "", sums = ""] = text.split("\n");
    const words = (line: string) => line.trim().split(/\s+/);
    const [, ...heads] = words(names);
    assertEquals(
      Object.fromEntries(heads.map((name, i) => [name, words(sums)[i]])),
      {
        published: "4",
        confirmed: "3",
        delivered: "3",
        duplicated: "1",
        recovered: "1",
        unexpected: "1",
        lost: "1",
        faults: "0",
      },
    );
  } finally {
    await Deno.remove(path);
  }
});
