/** Entities that are declared again after a reconnect, and tried later if that fails. */

import { assertEquals } from "@std/assert";
import { NotFoundError, Queue } from "@dashi/mq";
import { Limits } from "../../../async/limits.ts";
import { turn } from "../../../async/turn.ts";
import { Declarations } from "../../../messaging/connection/declarations.ts";
import {
  type DeclaringLink,
  LaterDeclares,
} from "../../../messaging/connection/later_declares.ts";
import { TopologyChannel } from "../../../messaging/connection/topology_channel.ts";
import type {
  Channel,
  TransportConnection,
} from "../../../transports/transport.ts";
import { TestClock } from "../../../testing/clock.ts";

/** A connection that counts declares, and refuses them as long as it is told to. */
function link(limits: Limits) {
  const told = { refuses: true, declares: 0 };
  const channel = {
    closed: new Promise(() => {}),
    declareQueue: ({ name }) => {
      told.declares++;
      return told.refuses
        ? Promise.reject(new NotFoundError("its node is down"))
        : Promise.resolve({ name, messageCount: 0, consumerCount: 0 });
    },
  } as Partial<Channel> as Channel;
  const connection = {
    closed: new Promise(() => {}),
    openChannel: () => Promise.resolve(channel),
  } as Partial<TransportConnection> as TransportConnection;
  const declaring: DeclaringLink = {
    connection,
    endpoint: { operationTimeout: 1000 },
    topology: new TopologyChannel(connection, limits),
  };
  return { told, link: declaring };
}

Deno.test("a declaration that was refused is tried again later, on the last connection alone", async () => {
  const clock = new TestClock();
  const limits = new Limits(clock);
  const declarations = new Declarations();
  const events: string[] = [];
  const later = new LaterDeclares({
    declarations,
    clock,
    limits,
    random: () => 0.5,
    reconnectPolicy: {},
    emit: ({ type }) => void events.push(type),
  });
  const pass = async () => {
    for (let i = 0; i < 20; i++) {
      clock.pass(500);
      for (let n = 0; n < 20; n++) await turn();
    }
  };
  const [old, current] = [link(limits), link(limits)];
  old.told.refuses = false;
  const queue = new Queue("q");
  await old.link.topology.run(
    { signal: undefined, deadline: Infinity },
    (channel) => declarations.declare(queue, channel, {}),
  );
  old.told.refuses = true;
  old.told.declares = 0;
  await later.declareAll(old.link);
  assertEquals([old.told.declares, events], [1, ["declare-failed"]]);
  await later.declareAll(current.link);
  await pass();
  assertEquals(old.told.declares, 1);
  current.told.refuses = false;
  await pass();
  const { declares } = current.told;
  assertEquals(declares > 1, true);
  assertEquals(declarations.isWanted(queue), false);
  await pass();
  assertEquals(current.told.declares, declares);
  later.stop();
  limits.end(() => new Error("ended"));
});
