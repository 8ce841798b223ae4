import { assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../model/errors.ts";
import {
  checkedOption,
  durationOption,
  readOptions,
} from "../../url/options.ts";
import { parseUrl } from "../../url/parse.ts";

const TABLE = {
  lease: checkedOption(
    durationOption("lease_time"),
    (ms) => ms >= 1000,
    "a second or more",
  ),
};

Deno.test("a checked option is checked in a URL and in an object, and shows what was given", () => {
  const read = (url: string, transportOptions = {}) =>
    readOptions<{ lease?: number }>(TABLE, {
      url: parseUrl(url),
      transportOptions,
    });
  assertEquals(read("redis://h?lease_time=1"), { lease: 1000 });
  assertEquals(read("redis://h", { lease: 2500 }), { lease: 2500 });
  for (
    const [url, options, text] of [
      [
        "redis://h?lease_time=0.25",
        {},
        'Cannot use "0.25" as "lease_time": it must be a second or more',
      ],
      [
        "redis://h",
        { lease: 250 },
        'Cannot use 250 as "lease": it must be a second or more',
      ],
    ] as const
  ) {
    const error = assertThrows(() => read(url, options), OptionError);
    assertEquals(error.message, text);
    assertEquals(error.code, "option-invalid");
  }
});
