/** How a connection to NATS is made, and what the client's own code lacks for it. */

import {
  connect,
  type ConnectionOptions,
  type NatsConnection,
} from "@nats-io/transport-node";
import { Parser } from "@nats-io/transport-node/lib/nats-base-client.js";
import { NodeTransport } from "@nats-io/transport-node/lib/node_transport.js";
import { ResponseTooLargeError } from "../../model/response_limit.ts";
import {
  type NodeTlsOptions,
  nodeTlsOptions,
  type TlsOptions,
} from "../../model/tls_options.ts";
import { type Peer, peerOf } from "../peer.ts";

/** How to connect. */
export interface DialSettings {
  /** `host:port`. */
  readonly server: string;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: TlsOptions | undefined;
  readonly name: string;
  /** Milliseconds. */
  readonly timeout: number;
  /** Milliseconds between signs of life; 0 turns them off. */
  readonly heartbeat: number;
  /** The most that one message, or line, of the server may have, bytes. */
  readonly maxResponseSize: number;
  /** Gives up dialling. */
  readonly signal: AbortSignal;
}

/** Longer than any connection lives, ms: heartbeats that are off. */
const NEVER = 2_000_000_000;

/** Connects once. */
export function dial(settings: DialSettings): Promise<NatsConnection> {
  const { server, username, password, tls, name, timeout, heartbeat } =
    settings;
  const { signal, maxResponseSize } = settings;
  const login = username === undefined
    ? {}
    : password === undefined
    ? { token: username }
    : { user: username, pass: password };
  patchClient();
  const options: ConnectionOptions & Dialling = {
    dashi: { signal, maxResponseSize },
    servers: server,
    ...login,
    name,
    timeout,
    tls: tls === undefined ? null : handshake(tls),
    reconnect: false,
    noAsyncTraces: true,
    ignoreClusterUpdates: true,
    pingInterval: heartbeat > 0 ? heartbeat : NEVER,
    maxPingOut: 1,
  };
  return connect(options);
}

function handshake(tls: TlsOptions): object {
  return nodeTlsOptions(tls) satisfies NodeTlsOptions;
}

/** Ends a connection at once: the client hangs up politely alone, which waits for a server that reads nothing. */
export function cut(connection: object): void {
  socketIn(Object(Object(connection).protocol).transport)?.destroy();
}

/** Tells who is at the other end of a connection's socket. */
export function peerIn(connection: object): Peer | undefined {
  return peerOf(socketIn(Object(Object(connection).protocol).transport));
}

/** Beside the options of a connection, which the client hands on. */
interface Dialling {
  readonly dashi?: Pick<DialSettings, "signal" | "maxResponseSize">;
}

interface Socket {
  destroy(error?: Error): void;
  on(event: "data", listener: (chunk: Uint8Array) => void): void;
  on(event: "error", listener: () => void): void;
  removeAllListeners(...events: string[]): Socket;
}

function socketIn(transport: object): Socket | undefined {
  return Object(transport).socket;
}

let isPatched = false;

function patchClient(): void {
  if (isPatched) return;
  isPatched = true;
  patchDial(NodeTransport.prototype);
  patchParser(Parser.prototype);
}

/**
 * A dial of the client's cannot be called off: it waits for a server that says nothing
 * until its own time is over; and it keeps all that comes before the end of the first line.
 */
function patchDial(prototype: NodeTransport): void {
  const { connect } = prototype;
  prototype.connect = function (server, options: ConnectionOptions & Dialling) {
    const { dashi } = options;
    if (dashi !== undefined) {
      const { signal, maxResponseSize } = dashi;
      guardSockets(this);
      const hangUp = () => socketIn(this)?.destroy();
      if (signal.aborted) hangUp();
      else signal.addEventListener("abort", hangUp, { once: true });
      const peek = this.peekInfo;
      this.peekInfo = function () {
        const line = peek.call(this);
        let size = 0;
        const socket = socketIn(this);
        socket?.on("data", (chunk) => {
          size += chunk.length;
          if (size <= maxResponseSize) return;
          socket.destroy(new ResponseTooLargeError(maxResponseSize));
        });
        return line;
      };
    }
    return connect.call(this, server, options);
  };
}

/**
 * The client takes all listeners off a socket before it destroys it, and while it hands it
 * on: an error that comes then, as by a server that refuses a login, would end the process.
 */
function guardSockets(transport: object): void {
  let current = socketIn(transport);
  Object.defineProperty(transport, "socket", {
    configurable: true,
    enumerable: true,
    get: () => current,
    set(socket: Socket | undefined) {
      current = socket;
      if (socket !== undefined) guard(socket);
    },
  });
}

function guard(socket: Socket): void {
  const { removeAllListeners } = socket;
  const keep = () => socket.on("error", () => {});
  socket.removeAllListeners = (...events) => {
    removeAllListeners.apply(socket, events);
    keep();
    return socket;
  };
  keep();
}

/** The bytes of a message that is too large: those of its headers, and how many there are. */
class Counted {
  length = 0;
  readonly #headers: Uint8Array;

  /** Makes one of a message's first bytes. */
  constructor(first: Uint8Array, headers: number) {
    this.#headers = new Uint8Array(Math.max(headers, 0));
    this.write(first);
  }

  write(bytes: Uint8Array): void {
    const room = this.#headers.subarray(this.length);
    room.set(bytes.subarray(0, room.length));
    this.length += bytes.length;
  }

  writeByte(byte: number): void {
    this.write(Uint8Array.of(byte));
  }

  bytes(): Uint8Array {
    return this.#headers;
  }
}

const ACK = new TextEncoder().encode("$JS.ACK.");

/** Whether a message lies in a stream, and is no answer of JetStream's own. */
function isStored(
  { hdr, reply }: { readonly hdr: number; readonly reply?: Uint8Array },
): boolean {
  return hdr > 0 || ACK.every((byte, i) => reply?.[i] === byte);
}

/** The client's parser has no limit; and after bytes that it cannot read nobody reads, though the connection stays. */
function patchParser(prototype: Parser): void {
  const { parse } = prototype;
  prototype.parse = function (chunk) {
    const { options, transport } = Object(this.dispatcher);
    const { dashi }: Dialling = Object(options);
    if (dashi === undefined) return parse.call(this, chunk);
    const most = dashi.maxResponseSize;
    try {
      parse.call(this, chunk);
      const { argBuf, msgBuf, ma } = Object(this);
      if (msgBuf !== undefined && ma.size > most && isStored(ma)) {
        // It comes without its body: else the connection would be cut as often as it comes.
        if (msgBuf instanceof Counted) return;
        Object.assign(this, { msgBuf: new Counted(msgBuf.bytes(), ma.hdr) });
        return;
      }
      const announced = msgBuf === undefined ? 0 : ma.size;
      if (Math.max(argBuf?.length ?? 0, announced) > most) {
        throw new ResponseTooLargeError(most);
      }
    } catch (error) {
      socketIn(transport)?.destroy(
        error instanceof ResponseTooLargeError
          ? error
          : new Error("the server does not speak NATS' protocol", {
            cause: error,
          }),
      );
    }
  };
}
