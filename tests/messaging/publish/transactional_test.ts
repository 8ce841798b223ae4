/** The options that cannot go with a transaction. */

import { assertThrows } from "@std/assert";
import { OptionError } from "../../../mod.ts";
import { refuseBeside } from "../../../messaging/publish/transactional.ts";

Deno.test("a publish in a transaction takes neither a mark nor attempts", () => {
  refuseBeside({});
  refuseBeside({ retry: false });
  assertThrows(
    () => refuseBeside({ dedupe: { window: 1000 } }),
    OptionError,
    '"dedupe" and "transaction"',
  );
  assertThrows(
    () => refuseBeside({ retry: true }),
    OptionError,
    '"retry" and "transaction"',
  );
});
