/** A socket of `node:net` or `node:tls`, as far as it is used here. */
export interface CutSocket {
  readonly connecting: boolean;
  once(event: "connect", listener: () => void): unknown;
  removeAllListeners(event: "connect"): unknown;
  destroy(error?: Error): unknown;
}

/**
 * Destroys a socket, be it open or still to connect. Bun before 1.2.17 says of the latter
 * that it is closed, and connects it all the same: it would stay open, with its process.
 *
 * @param socket The socket.
 * @param error The error that its `error` event brings.
 */
export function cutSocket(socket: CutSocket, error?: Error): void {
  if (socket.connecting) {
    socket.removeAllListeners("connect");
    socket.once("connect", () => handleOf(socket)?.terminate?.());
  }
  socket.destroy(error);
}

/** Bun's own socket, which stands beneath that of `node:net`. */
function handleOf(socket: object): { terminate?(): void } | null | undefined {
  return Reflect.get(socket, "_handle");
}
