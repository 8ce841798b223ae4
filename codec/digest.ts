/**
 * The SHA-256 of a text, by which long ones are told apart.
 *
 * @param text The text, which is read as UTF-8.
 * @returns Its 32 bytes.
 */
export async function sha256(text: string): Promise<Uint8Array> {
  const bytes = new TextEncoder().encode(text);
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
}

/**
 * Writes bytes in hexadecimal digits.
 *
 * @param bytes The bytes.
 * @returns Two digits for each, in lower case.
 */
export function encodeHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("");
}
