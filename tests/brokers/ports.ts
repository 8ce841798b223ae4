/** Ports for servers that the tests start. */

/** Linux' own default, for systems that do not say. */
const EPHEMERAL = 32_768;
/** Below lie the ports of well-known servers, and those that `fetch` refuses. */
const LOWEST = 11_000;

/** Given by this process: a server may not listen yet. */
const given = new Set<number>();

/**
 * Finds a port on loopback that nobody listens on. It lies below the range that outgoing
 * connections take their own ports from: one of those may take any port of the range
 * between this call and the start of the server.
 */
export function freePort(): number {
  const end = firstEphemeralPort();
  const [first, last] = end > LOWEST + 1000 ? [LOWEST, end] : [LOWEST, 65_536];
  for (let tries = 0; tries < 1000; tries++) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (given.has(port) || !isFree(port)) continue;
    given.add(port);
    return port;
  }
  throw new Error(`there is no free port from ${first} to ${last - 1}`);
}

/** The lowest port that the system gives to outgoing connections. */
export function firstEphemeralPort(): number {
  try {
    const text = Deno.readTextFileSync(
      "/proc/sys/net/ipv4/ip_local_port_range",
    );
    return Number(text.trim().split(/\s+/)[0]) || EPHEMERAL;
  } catch {
    return EPHEMERAL;
  }
}

function isFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch {
    return false;
  }
}
