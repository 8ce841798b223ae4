/** The other end of the socket that a connection has: a server, or what stands before it. */
export interface Peer {
  /** Its IP address. */
  readonly address: string;
  /** Its port. */
  readonly port: number;
}

/**
 * Reads who is at the other end of a socket.
 *
 * @param socket A socket of `node:net` or `node:tls`.
 * @returns Its peer; `undefined` if it is not connected, or is no such socket.
 */
export function peerOf(socket: object | null | undefined): Peer | undefined {
  const { remoteAddress: address, remotePort: port } = Object(socket);
  return typeof address === "string" && typeof port === "number"
    ? { address, port }
    : undefined;
}
