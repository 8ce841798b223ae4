/**
 * Splits a routing key or pattern into words. The empty key has none; elsewhere a
 * word may be empty.
 *
 * @param key The key.
 * @returns Its words.
 */
export function splitWords(key: string): readonly string[] {
  return key === "" ? [] : key.split(".");
}

/**
 * Says whether a routing key matches a routing pattern, by AMQP 0-9-1's rules: `*`
 * stands for exactly one word, `#` for any number of words, none included. Words
 * stand between dots, and may be empty.
 *
 * @param pattern The routing pattern.
 * @param routingKey The routing key.
 * @returns Whether they match.
 *
 * @example Words and wildcards
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { matchTopic } from "@dashi/mq/virtual";
 *
 * assertEquals(matchTopic("a.*", "a.b"), true);
 * assertEquals(matchTopic("a.*", "a.b.c"), false);
 * assertEquals(matchTopic("a.#", "a"), true);
 * ```
 */
export function matchTopic(pattern: string, routingKey: string): boolean {
  const words = splitWords(routingKey);
  // The places in the key that the pattern so far may have come to.
  let places = new Set([0]);
  for (const word of splitWords(pattern)) {
    const next = new Set<number>();
    for (const place of places) {
      if (word === "#") {
        for (let i = place; i <= words.length; i++) next.add(i);
      } else if (
        place < words.length && (word === "*" || word === words[place])
      ) next.add(place + 1);
    }
    places = next;
    if (places.size === 0) return false;
  }
  return places.has(words.length);
}
