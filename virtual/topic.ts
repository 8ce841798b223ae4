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
  const [wanted, words] = [splitWords(pattern), splitWords(routingKey)];
  let [at, place] = [0, 0];
  // The last `#`, and how far it reaches so far: if what follows does not match, it takes one more word.
  let [many, reach] = [-1, 0];
  while (place < words.length) {
    const word = wanted[at];
    if (word === "#") {
      many = at++;
      reach = place;
    } else if (word === "*" || word === words[place]) {
      at++;
      place++;
    } else if (many >= 0) {
      at = many + 1;
      place = ++reach;
    } else return false;
  }
  while (wanted[at] === "#") at++;
  return at === wanted.length;
}

/**
 * Splits a pattern into words, written so that patterns that match the same keys are
 * the same where wildcards follow each other: `#.*.#` is `*.#`.
 *
 * @param pattern The routing pattern.
 * @returns Its words.
 */
export function patternWords(pattern: string): readonly string[] {
  if (!pattern.includes("#")) return splitWords(pattern);
  const words: string[] = [];
  let many = false;
  for (const word of splitWords(pattern)) {
    if (word === "#") many = true;
    else {
      // Behind the single words that follow it a `#` stands for the same keys.
      if (many && word !== "*") {
        words.push("#");
        many = false;
      }
      words.push(word);
    }
  }
  if (many) words.push("#");
  return words;
}

/**
 * Writes the regular expression by which Kombu 5.7 matches the keys of a topic
 * binding. Its publishers read it; ours go by the routing pattern itself.
 *
 * @param routingPattern The routing pattern.
 * @returns The expression, in Python's dialect.
 */
export function formatPattern(routingPattern: string): string {
  const escaped = routingPattern.replace(
    /[^\p{L}\p{N}.#*]/gu,
    (char) => char === "\0" ? "\\000" : `\\${char}`,
  );
  const words = escaped.split(".").map((word) =>
    word === "*" ? "[^\\.]+" : word === "#" ? ".*?" : word
  );
  return `^${words.join("\\.")}$`;
}
