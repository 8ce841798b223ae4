import { assertEquals } from "@std/assert";
import { keyIn, Model } from "../../../cli/ui/page/model.js";

Deno.test("an address that names no queue opens none, and the page goes on", () => {
  const model = new Model();
  const rows = [{ name: "50% / ü" }];
  model.takeAll({ brokers: [{ id: 0, name: "memory://" }] });
  model.takeRows({ broker: 0, rows });
  const found = model.find(keyIn(`#${encodeURIComponent("0/50% / ü")}`));
  assertEquals(found?.name, "50% / ü");
  for (const hash of ["", "#", "#0/50%", "#%", "#7/x", "#x"]) {
    assertEquals(model.find(keyIn(hash)), undefined, hash);
  }
});
