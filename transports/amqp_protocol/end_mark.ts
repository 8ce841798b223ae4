const NOTHING = new Uint8Array(0);

/** AMQP's heartbeat, which means nothing to the broker between two frames. */
const HEARTBEAT = new Uint8Array([8, 0, 0, 0, 0, 0, 0, 0xce]);

/**
 * What is written behind frames to hear when they have left the process. Deno's TLS
 * sockets are broken by an empty write (EPERM): there it is a heartbeat.
 */
export function endMark(isTls: boolean): Uint8Array {
  return isTls ? HEARTBEAT : NOTHING;
}
