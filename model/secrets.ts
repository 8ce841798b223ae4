/** Shorter ones would be found in what has nothing to do with them. */
const LEAST = 6;
/** How many errors below one another are looked at. */
const MAX_DEPTH = 8;

/**
 * Takes secrets out of what an error says, and its causes: some servers say again what
 * they were told and did not understand, as Redis does of a command that was renamed.
 *
 * @param error The error, whose texts are changed.
 * @param secrets The secrets.
 * @param known A text that is no secret, though it be one of them: it stays.
 */
export function hideSecrets(
  error: unknown,
  secrets: readonly string[],
  known: string,
): void {
  const forms = longestFirst(secrets)
    .filter((each) => each.length >= LEAST && !known.includes(each))
    .flatMap((each) => [each, encodeURIComponent(each)]);
  if (forms.length > 0) hide(error, new Set(forms), 0);
}

/** The part before the host in a URL: the user, and a password. */
const IN_URL = /(\/\/[^\s/:@]*:)[^\s/@]+@/g;

/** Values in quotes, which may be escaped themselves, that are named as what nobody should read. */
const QUOTED =
  /\b(pass(?:word|wd|phrase)|secret|token|api[-_]?key|authorization)(\\*["']?\s*[:=]\s*)(\\*["'])(.*?)((?<!\\)\3|$)/gis;

/** And those without quotes. */
const NAMED =
  /\b(pass(?:word|wd|phrase)|secret|token|api[-_]?key|authorization)(["']?\s*[:=]\s*["']?(?:(?:basic|bearer)\s+)?)[^\s"',;&}]+/gi;

/**
 * Takes secrets out of a text that goes to others: those that are known, passwords in
 * URLs, and what is named a password, a secret, a token or a key.
 *
 * @param text The text.
 * @param secrets The secrets that are known.
 * @returns The text with `**` in their place.
 */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  let shown = text;
  for (const each of longestFirst(secrets)) {
    if (each.length < LEAST) continue;
    for (const form of [each, encodeURIComponent(each)]) {
      shown = shown.replaceAll(form, "**");
    }
  }
  return shown.replace(IN_URL, "$1**@")
    .replace(QUOTED, "$1$2$3**$5")
    .replace(NAMED, "$1$2**");
}

/** One may be the beginning of another, whose end would be left. */
function longestFirst(secrets: readonly string[]): readonly string[] {
  return secrets.toSorted((a, b) => b.length - a.length);
}

function hide(error: unknown, forms: ReadonlySet<string>, depth: number): void {
  if (!(error instanceof Error) || depth > MAX_DEPTH) return;
  for (const key of ["message", "stack"] as const) {
    const text = error[key];
    if (typeof text !== "string") continue;
    let shown = text;
    for (const form of forms) shown = shown.replaceAll(form, "**");
    if (shown === text) continue;
    Object.defineProperty(error, key, {
      value: shown,
      configurable: true,
      writable: true,
    });
  }
  hide(error.cause, forms, depth + 1);
  if (error instanceof AggregateError) {
    for (const each of error.errors) hide(each, forms, depth + 1);
  }
}
