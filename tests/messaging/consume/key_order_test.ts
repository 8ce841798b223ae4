/** The order of a key's messages within a run. */

import { assertEquals } from "@std/assert";
import {
  KeyOrder,
  type KeyOrderHost,
} from "../../../messaging/consume/key_order.ts";
import type { ReceivedMessage } from "../../../messaging/consume/message.ts";

interface Kept extends ReceivedMessage<number> {
  isOpen: boolean;
}

function message(payload: number): Kept {
  return { payload, key: "a", isOpen: true } as Partial<Kept> as Kept;
}

Deno.test("a message that is lost while it waits for its turn is passed by, and holds up nothing of its key", () => {
  let wanted = 0;
  const order = new KeyOrder<number>({
    take: () => undefined,
    want: (count) => wanted += count,
  } as Partial<KeyOrderHost<number>> as KeyOrderHost<number>);
  const [first, lost, next] = [message(1), message(2), message(3)];
  const waits = [first, lost, next].map((each) => order.mustWait(each));
  assertEquals([waits, wanted], [[false, true, true], 2]);
  order.left(first);
  lost.isOpen = false;
  assertEquals(order.take()?.payload, 3);
  assertEquals(order.mustWait(next), false);
  order.left(next);
  assertEquals(order.take(), undefined);
  assertEquals(order.mustWait(message(4)), false);
});
