/** What is asked of the server, as far as it decides who may ask. */
export interface Asked {
  /** The method. */
  readonly method: string;
  /** What stands in the request line, without the query. */
  readonly path: string;
  /** The query. */
  readonly query: URLSearchParams;
  /** Reads a header. */
  header(name: string): string | undefined;
}

/** Who may ask. */
export interface Gate {
  /** The server's port. */
  readonly port: number;
  /** The secret of its link. */
  readonly token: string;
}

/** What becomes of a request: it may be answered, it brings the token, or it is refused. */
export type Verdict =
  | { readonly kind: "welcome" }
  | { readonly kind: "login" }
  | {
    readonly kind: "refused";
    readonly status: 401 | 403 | 405;
    readonly reason: string;
  };

/**
 * Says whether a request may be answered. A page of another site reaches a server on
 * loopback as well as its user does: by a name of its own that leads there, which the
 * header `Host` shows, and by forms and scripts, which `Origin` and `Sec-Fetch-Site` show.
 *
 * @param asked The request.
 * @param gate The port and the token.
 * @returns What becomes of it.
 */
export function judge(asked: Asked, gate: Gate): Verdict {
  const { method, path, query } = asked;
  const hosts = [`127.0.0.1:${gate.port}`, `localhost:${gate.port}`];
  const host = asked.header("host") ?? "";
  if (!hosts.includes(host)) {
    return refused(403, "This is not the address that dashi ui serves.");
  }
  if (method !== "GET" && method !== "POST") {
    return refused(405, "Only GET and POST are answered.");
  }
  if (method === "GET" && path === "/" && query.has("token")) {
    return isEqual(query.get("token") ?? "", gate.token)
      ? { kind: "login" }
      : refused(
        401,
        "This link is of another start of dashi ui: open the one that it printed last.",
      );
  }
  const origin = asked.header("origin");
  if (
    (origin !== undefined || method === "POST") &&
    origin !== `http://${host}`
  ) {
    return refused(403, "Another page may not ask for this.");
  }
  const site = asked.header("sec-fetch-site");
  const isPage = method === "GET" && path === "/";
  if (
    site !== undefined && site !== "same-origin" &&
    !(isPage && site === "none")
  ) {
    return refused(403, "Another page may not ask for this.");
  }
  const token = cookieIn(asked.header("cookie") ?? "", cookieName(gate.port));
  return isEqual(token ?? "", gate.token)
    ? { kind: "welcome" }
    : refused(401, "Open the link that dashi ui has printed.");
}

/**
 * Names the cookie of a server: cookies of a host are sent to all its ports.
 *
 * @param port The server's port.
 * @returns The name.
 */
export function cookieName(port: number): string {
  return `dashi-ui-${port}`;
}

function refused(status: 401 | 403 | 405, reason: string): Verdict {
  return { kind: "refused", status, reason };
}

function cookieIn(header: string, name: string): string | undefined {
  return header.split(";").map((each) => each.trim())
    .find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
}

/** How long it takes tells nothing of where they differ. */
function isEqual(given: string, secret: string): boolean {
  let difference = given.length ^ secret.length;
  for (let i = 0; i < secret.length; i++) {
    difference |= given.charCodeAt(i) ^ secret.charCodeAt(i);
  }
  return difference === 0;
}
