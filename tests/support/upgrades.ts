/** A rolling upgrade, as the tests of a broker that keeps its layout run it. */

import { assertEquals } from "@std/assert";
import {
  type Duty,
  type Line,
  Predecessor,
  type Process,
  type Version,
} from "./rolling.ts";

/**
 * Lets both versions publish to a queue each and consume the other's, beside consumers of both
 * on a third; then each process is ended in order and another of its version begins in its
 * place, while the others go on. Fails if a message is lost, or comes twice and does not say so.
 *
 * @param url The broker.
 */
export async function upgrade(url: string): Promise<void> {
  const versions = await Predecessor.unpack();
  await using processes = new AsyncDisposableStack();
  const said: Process[] = [];
  const start = (version: Version, duty: Omit<Duty, "url">) => {
    const process = versions.start(version, { ...duty, url });
    processes.use(process);
    said.push(process);
    return process;
  };
  const [id] = crypto.randomUUID().split("-", 1);
  const routes = [
    {
      publisher: "0.1.0",
      consumers: ["this one"],
      at: { queue: `up-${id}`, exchange: `up-${id}`, type: "direct" },
    },
    {
      publisher: "this one",
      consumers: ["0.1.0"],
      at: { queue: `down-${id}`, exchange: `down-${id}`, type: "topic" },
    },
    {
      publisher: "this one",
      consumers: ["0.1.0", "this one"],
      at: { queue: `both-${id}`, exchange: `both-${id}`, type: "direct" },
    },
  ] as const;
  const lanes = routes.map(({ publisher, consumers, at }) => ({
    publisher: {
      version: publisher,
      process: start(publisher, { ...at, mode: "publish" }),
    },
    consumers: consumers.map((version) => ({
      version,
      process: start(version, { ...at, mode: "consume" }),
    })),
    at,
  }));
  const confirmed = () => textsOf(said, ({ confirmed }) => confirmed);
  const got = () => textsOf(said, ({ got }) => got);
  await Promise.all(lanes.map(async (lane) => {
    const { publisher, consumers, at } = lane;
    for (const { process } of consumers) await process.until(hasGot(10));
    for (const consumer of consumers) {
      await consumer.process.stop();
      consumer.process = start(consumer.version, { ...at, mode: "consume" });
      await consumer.process.until(hasGot(10));
    }
    await publisher.process.stop();
    const from = publisher.process.lines.length;
    const next = { ...at, mode: "publish", from } as const;
    publisher.process = start(publisher.version, next);
    for (const { process } of consumers) {
      await process.until(hasGot(process.lines.length + 10));
    }
    await publisher.process.stop();
  }));
  const wanted = new Set(confirmed());
  const left = () => wanted.difference(new Set(got())).size;
  const last = lanes.flatMap(({ consumers }) => consumers);
  await Promise.race(
    last.map(({ process }) => process.until(() => left() === 0)),
  );
  for (const { process } of last) await process.stop();
  assertEquals(new Set(got()), wanted);
  const firsts = said.flatMap(({ lines }) => lines)
    .filter(({ got, redelivered }) => got !== undefined && !redelivered)
    .map(({ got }) => got);
  assertEquals(firsts.length, new Set(firsts).size, "one came twice unmarked");
}

function hasGot(count: number): (lines: readonly Line[]) => boolean {
  return (lines) =>
    lines.filter(({ got }) => got !== undefined).length >= count;
}

function textsOf(
  processes: readonly Process[],
  read: (line: Line) => string | undefined,
): string[] {
  return processes.flatMap(({ lines }) => lines.map(read))
    .filter((text) => text !== undefined);
}
