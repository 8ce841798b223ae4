import { assertEquals } from "@std/assert";
import { nodeTlsOptions, readTls } from "../../model/tls_options.ts";

Deno.test("values of TLS are options, or none: the scheme decides where none is given", () => {
  const given = { servername: "broker" };
  assertEquals(readTls(undefined, false), undefined);
  assertEquals(readTls(undefined, true), {});
  assertEquals(readTls(true, false), {});
  assertEquals(readTls(false, true), undefined);
  assertEquals(readTls(given, false), given);
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
