import { assertEquals } from "@std/assert";
import {
  isBinding,
  isDeclaration,
} from "../../../transports/store/stored_shapes.ts";

const BINDING = {
  source: "events",
  destination: { kind: "queue", name: "orders" },
  routingKey: "",
  arguments: {},
};

Deno.test("a binding that was read has all that the library reads of it", () => {
  assertEquals(isBinding(BINDING), true);
  for (
    const wrong of [
      undefined,
      "a binding",
      { ...BINDING, source: 1 },
      { ...BINDING, destination: null },
      { ...BINDING, destination: {} },
      { ...BINDING, routingKey: undefined },
      { ...BINDING, arguments: [] },
      { ...BINDING, arguments: null },
    ]
  ) assertEquals(isBinding(wrong), false, Deno.inspect(wrong));
});

Deno.test("a declaration that was read has a name and arguments", () => {
  assertEquals(isDeclaration({ name: "orders", arguments: {} }), true);
  for (
    const wrong of [
      null,
      { arguments: {} },
      { name: 1, arguments: {} },
      { name: "orders" },
      { name: "orders", arguments: "none" },
    ]
  ) assertEquals(isDeclaration(wrong), false, Deno.inspect(wrong));
});
