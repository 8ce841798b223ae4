import { assertEquals, assertThrows } from "@std/assert";
import { OptionError } from "../../model/errors.ts";
import { nodeTlsOptions, readTls } from "../../model/tls_options.ts";

Deno.test("values of TLS are options, or none: the scheme decides where none is given", () => {
  const given = { servername: "broker" };
  assertEquals(readTls(undefined, false), undefined);
  assertEquals(readTls(undefined, true), {});
  assertEquals(readTls(true, false), {});
  assertEquals(readTls(false, false), undefined);
  assertEquals(readTls(given, false), given);
});

Deno.test("a scheme that means TLS and an option that turns it off are a contradiction", () => {
  assertThrows(() => readTls(false, true), OptionError, "scheme says yes");
});

Deno.test("TLS options are written as node:tls takes them", () => {
  assertEquals(nodeTlsOptions(undefined), {});
  assertEquals(nodeTlsOptions({}), { rejectUnauthorized: true });
  const { checkServerIdentity, ...rest } = nodeTlsOptions({
    ca: "CA",
    cert: "CERT",
    key: "KEY",
    passphrase: "PASS",
    servername: "broker",
    verify: false,
    checkHostname: false,
  });
  assertEquals(rest, {
    ca: ["CA"],
    cert: "CERT",
    key: "KEY",
    passphrase: "PASS",
    servername: "broker",
    rejectUnauthorized: false,
  });
  assertEquals(checkServerIdentity?.(), undefined);
  assertEquals(typeof checkServerIdentity, "function");
});
