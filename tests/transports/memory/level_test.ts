import { assertEquals } from "@std/assert";
import { Kept } from "../../../transports/memory/kept.ts";
import { Level } from "../../../transports/memory/level.ts";
import type { Item } from "../../../transports/memory/kept.ts";
import { Slab } from "../../../model/slab.ts";
import { messageTo } from "../../support/redis_transport.ts";

const SLAB = new Slab();

function itemOf(sequence: number): Item {
  return {
    message: new Kept(messageTo("", "q"), SLAB),
    sequence,
    expiresAt: Infinity,
    dueAt: 0,
    deliveryCount: 0,
  };
}

/** Orders in which what was taken may come back. */
const ORDERS: Readonly<Record<string, (items: Item[]) => Item[]>> = {
  "the first first": (items) => items,
  "the last first": (items) => items.reverse(),
  "messages behind others that came back": (items) => {
    const half = items.length / 2;
    return [...items.slice(0, half), ...items.slice(half).reverse()];
  },
  "one from here and one from there": (items) =>
    items.map((_, i) => items[(i * 7919) % items.length] ?? itemOf(0)),
};

for (const [name, order] of Object.entries(ORDERS)) {
  Deno.test(`memory: messages that come back stand where they were, at any number: ${name}`, () => {
    // At a cost that grew with what came back before, these would take hours.
    const count = 200_000;
    const level = new Level();
    const item = itemOf(0);
    const items = Array.from({ length: count }, (_, i) => ({
      ...item,
      sequence: i,
    }));
    for (const each of items) level.push(each);
    const taken = items.map(() => level.shift()).filter((each) =>
      each !== undefined
    );
    level.push({ ...item, sequence: count });
    for (const each of order(taken)) level.restore(each);
    const again: (number | undefined)[] = [];
    while (level.head !== undefined) {
      again.push(level.shift()?.sequence);
    }
    assertEquals(again.length, count + 1);
    assertEquals(again.every((sequence, i) => sequence === i), true);
  });
}
