/** The login of a request: its headers, and its secrets. */
export interface Login {
  readonly headers: Readonly<Record<string, string>>;
  /** Secrets that no error text may show, in the forms in which they are sent. */
  readonly secrets: readonly string[];
}

/**
 * Makes HTTP's basic authentication.
 *
 * @param username The user; without one there is no login.
 * @param password The password.
 * @returns The headers, and what of them is secret.
 */
export function loginOf(
  username: string | undefined,
  password: string = "",
): Login {
  if (username === undefined) return { headers: {}, secrets: [] };
  const bytes = new TextEncoder().encode(`${username}:${password}`);
  const both = btoa(String.fromCharCode(...bytes));
  return {
    headers: { authorization: `Basic ${both}` },
    secrets: [both, password],
  };
}
