import { assertEquals, assertRejects } from "@std/assert";
import { SYSTEM_CLOCK } from "../../../async/clock.ts";
import { DecodeError } from "../../../model/errors.ts";
import { Database } from "../../../transports/records/database.ts";
import { TOPOLOGY_ID } from "../../../transports/records/ids.ts";
import type { Records } from "../../../transports/records/records.ts";
import { Tables } from "../../../transports/records/tables.ts";
import { Lifeline } from "../../../transports/store/lifeline.ts";

const EXCHANGE = { name: "e", type: "topic", arguments: {} };
const QUEUE = { declaration: { name: "q", arguments: {} }, consumers: [] };
const BINDING = {
  source: "e",
  destination: { kind: "queue", name: "q" },
  routingKey: "k",
  arguments: {},
};

function topologyOf(tables: unknown): Tables {
  const unused = () => Promise.reject(new Error("not asked for"));
  const records: Records = {
    limits: { recordBytes: 1000 },
    isPersistent: false,
    closed: new Promise(() => {}),
    now: () => 0,
    list: unused,
    read: unused,
    write: unused,
    readUnless: () =>
      Promise.resolve({
        id: TOPOLOGY_ID,
        revision: "1",
        fields: { layout: 1, tables: JSON.stringify(tables) },
      }),
    async [Symbol.asyncDispose]() {},
  };
  const lifeline = new Lifeline({ clock: SYSTEM_CLOCK });
  return new Tables(new Database(records, lifeline.limits), lifeline);
}

function tablesWith(wrong: Readonly<Record<string, unknown>>): unknown {
  const right = {
    exchanges: [EXCHANGE],
    queues: [QUEUE],
    bindings: [BINDING],
  };
  return { ...right, ...wrong };
}

Deno.test("tables that are whole are read", async () => {
  const { topology } = await topologyOf(tablesWith({})).look();
  assertEquals([...topology.bindingsFrom("e")].length, 1);
});

for (
  const wrong of [
    { exchanges: undefined },
    { exchanges: [{ ...EXCHANGE, name: 7 }] },
    { exchanges: [{ ...EXCHANGE, arguments: null }] },
    { queues: [null] },
    { queues: [{ ...QUEUE, consumers: undefined }] },
    { queues: [{ ...QUEUE, consumers: [7] }] },
    { queues: [{ ...QUEUE, declaration: { name: "q" } }] },
    { bindings: [{ ...BINDING, destination: undefined }] },
    { bindings: [{ ...BINDING, routingKey: [] }] },
  ]
) {
  Deno.test(`tables with ${Deno.inspect(wrong)} are a DecodeError`, async () => {
    const topology = topologyOf(tablesWith(wrong));
    await assertRejects(() => topology.look(), DecodeError, "cut off");
  });
}
