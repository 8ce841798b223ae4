/** The methods of AMQP 0-9-1 that a client sends. */
export const METHODS = {
  startOk: [10, 11],
  connectionClose: [10, 50],
  channelOpen: [20, 10],
  channelClose: [20, 40],
  exchangeDeclare: [40, 10],
  exchangeDelete: [40, 20],
  exchangeBind: [40, 30],
  exchangeUnbind: [40, 40],
  queueDeclare: [50, 10],
  queueBind: [50, 20],
  queuePurge: [50, 30],
  queueDelete: [50, 40],
  queueUnbind: [50, 50],
  qos: [60, 10],
  consume: [60, 20],
  cancel: [60, 30],
  publish: [60, 40],
  get: [60, 70],
  ack: [60, 80],
  reject: [60, 90],
  nack: [60, 120],
  confirmSelect: [85, 10],
} as const;

/**
 * Packs booleans as AMQP does, eight to an octet, the first one lowest.
 *
 * @param flags The booleans.
 * @returns The octet.
 */
export function bits(...flags: readonly boolean[]): number {
  return flags.reduce((octet, flag, i) => flag ? octet | (1 << i) : octet, 0);
}

/** Says whether a frame is a method of the connection's, by its class and its number. */
export function isMethod(
  frame: DataView,
  of: number,
  method: number,
): boolean {
  return frame.getUint8(0) === 1 && frame.getUint16(1) === 0 &&
    frame.getUint16(7) === of && frame.getUint16(9) === method;
}

/** The frame `connection.open-ok`, with no hosts in it. */
const OPEN_OK = [1, 0, 0, 0, 0, 0, 5, 0, 10, 0, 41, 0, 0xce];

/** Makes a copy of frames whose first is `connection.open-ok`, with no hosts in it. */
export function withoutHosts(frames: DataView): ArrayBuffer {
  const { buffer, byteOffset, byteLength } = frames;
  const end = frames.getUint32(3) + 8; // with its head, and its last byte
  const others = new Uint8Array(buffer, byteOffset + end, byteLength - end);
  return Uint8Array.of(...OPEN_OK, ...others).buffer;
}
