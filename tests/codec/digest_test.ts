import { assertEquals } from "@std/assert";
import { encodeHex, sha256 } from "../../codec/digest.ts";

// FIPS 180-4's example; what is stored under a digest is found again for ever.
Deno.test("the SHA-256 of a text is that of its UTF-8", async () => {
  assertEquals(
    encodeHex(await sha256("abc")),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  );
  assertEquals(await sha256("ü"), await sha256("u\u0308".normalize()));
});

Deno.test("bytes are two hexadecimal digits each", () => {
  assertEquals(encodeHex(new Uint8Array([0, 10, 255])), "000aff");
  assertEquals(encodeHex(new Uint8Array()), "");
});
