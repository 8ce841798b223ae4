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
