import type { Clock } from "../../async/clock.ts";
import { ConnectionError } from "../../model/errors.ts";
import { explainWrongServer } from "../../transports/load.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";

/** A server that has not answered for so long is probed for its protocol, ms. */
const SILENT = 1000;

/**
 * Dials a server that this connection has never had. If that fails, or nothing is answered,
 * the server is probed once for its protocol: one of another kind would be dialled again and
 * again, and the errors of clients say little of it.
 *
 * @param endpoint The server.
 * @param clock The time.
 * @param signal The signal that ends it.
 * @param dial Dials it.
 * @param onFailed Called when that has failed, before the server is asked: the caller may have no time for that.
 * @returns The connection.
 * @throws {ConnectionError} If the server speaks something else; it is not retryable.
 */
export async function dialFirst<T>(
  endpoint: Endpoint,
  clock: Clock,
  signal: AbortSignal,
  dial: (signal: AbortSignal) => Promise<T>,
  onFailed: (error: unknown) => void,
): Promise<T> {
  const wrong = new AbortController();
  const look = async () => {
    const why = await explainWrongServer(endpoint.transport, endpoint.url);
    if (why === undefined) return;
    wrong.abort(
      new ConnectionError(
        `Cannot connect to "${formatEndpoint(endpoint)}": ${why}`,
        { code: "connection-failed", retryable: false, outcome: "not-sent" },
      ),
    );
  };
  let looking: Promise<void> | undefined;
  const stop = clock.timer(() => void (looking ??= look()), SILENT);
  try {
    return await dial(AbortSignal.any([signal, wrong.signal]));
  } catch (error) {
    signal.throwIfAborted();
    if (!wrong.signal.aborted) onFailed(error);
    await (looking ??= look());
    throw wrong.signal.aborted ? wrong.signal.reason : error;
  } finally {
    stop();
  }
}

/**
 * Says whether a server may be probed for its protocol: its address is in the URL, and it is
 * spoken to in plain words.
 *
 * @param endpoint The server.
 * @returns Whether it may.
 */
export function mayBeAsked({ url, tls }: Endpoint): boolean {
  // A WebSocket begins with HTTP, whatever its frames carry.
  return (tls === undefined || tls === false) && !/^wss?$/.test(url.scheme);
}
