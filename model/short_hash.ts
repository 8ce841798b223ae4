/**
 * Tells long names apart that begin alike: FNV-1a, eight hexadecimal digits.
 *
 * @param text The name.
 * @returns The digits.
 */
export function shortHash(text: string): string {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193);
  }
  return (value >>> 0).toString(16).padStart(8, "0");
}
