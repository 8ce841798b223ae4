import { assertEquals, assertThrows } from "@std/assert";
import type {
  Capability,
  MessageStore,
} from "../../../transports/store/mod.ts";
import {
  refuseDedupe,
  refusePublishing,
  requireForQueue,
} from "../../../transports/store/capabilities.ts";
import { UnsupportedError } from "../../../model/errors.ts";
import { publishing } from "../../conformance/support.ts";
import { queueOf } from "../../support/redis_transport.ts";

const NARROW: ReadonlySet<Capability> = new Set(["priority"]);
const WIDE: ReadonlySet<Capability> = new Set(["priority", "wide-priority"]);

Deno.test("a store that tells ten priorities apart refuses the eleventh, of queues and of messages", () => {
  const declare = (most: number, capabilities: ReadonlySet<Capability>) =>
    requireForQueue(capabilities, {
      ...queueOf("q"),
      arguments: { "x-max-priority": most },
    });
  declare(9, NARROW);
  declare(10, WIDE);
  assertThrows(() => declare(10, NARROW), UnsupportedError, "10");
  const refused = (priority: number, capabilities: ReadonlySet<Capability>) =>
    refusePublishing(
      capabilities,
      publishing("", "q", "text", { properties: { priority } }),
    ) instanceof UnsupportedError;
  assertEquals(
    [refused(9, NARROW), refused(10, WIDE), refused(10, NARROW)],
    [false, false, true],
  );
});

Deno.test("a message is published once where all queues of a store can, or some of them say whether they can", () => {
  const message = {
    ...publishing("", "q", "text"),
    dedupe: { id: "1", window: 1000, token: "mine" },
  };
  const refused = (
    capabilities: readonly Capability[],
    messages: Partial<MessageStore>,
  ) =>
    refuseDedupe({
      capabilities: new Set(capabilities),
      messages: messages as MessageStore,
    }, message) instanceof UnsupportedError;
  const refuseMark = () => undefined;
  assertEquals(
    [refused([], {}), refused(["dedupe"], {}), refused([], { refuseMark })],
    [true, false, false],
  );
});
