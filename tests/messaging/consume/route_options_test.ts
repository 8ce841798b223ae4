import { assertThrows } from "@std/assert";
import { OptionError } from "@dashi/mq";
import { checkRoutes } from "../../../messaging/consume/route_options.ts";

Deno.test("a route with an option that is unknown is refused, by its name", () => {
  const handler = () => {};
  checkRoutes({ paid: { handler } });
  assertThrows(
    () => checkRoutes({ paid: { handler, retries: 3 } }),
    OptionError,
    '"retries"',
  );
});
