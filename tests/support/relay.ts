/** A relay from WebSocket to TCP, as stands before brokers that have none. */

/** A relay that is listening. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** The paths of the requests that came. */
  readonly requests: readonly string[];
  /** Passes on so many bytes in a message, at most. */
  split(bytes: number): void;
  /** Sends a text to all. */
  say(text: string): void;
}

/** Listens on a free port of loopback, and relays to where a URL leads. */
export function startRelay(
  url: string,
  options: {
    readonly tls?: { readonly cert: string; readonly key: string };
    /** Seconds until an idle client is asked, and cut if it does not answer. */
    readonly idleTimeout?: number;
  } = {},
): Relay {
  const { hostname, port } = new URL(url.replace(/^[\w-]+:/, "http:"));
  const requests: string[] = [];
  const sockets = new Set<WebSocket>();
  const relaying = new Set<Promise<void>>();
  let most = Infinity;
  const relay = async (socket: WebSocket) => {
    socket.binaryType = "arraybuffer";
    const ended = new Promise<void>((resolve) =>
      socket.addEventListener("close", () => resolve())
    );
    const connecting = Deno.connect({ hostname, port: Number(port) });
    let writing = connecting.then(() => {}, () => {});
    // At once: a client may speak before the relay has connected.
    socket.addEventListener("message", ({ data }) => {
      writing = writing.then(async () => {
        const tcp = await connecting;
        for (let bytes = new Uint8Array(data); bytes.length > 0;) {
          bytes = bytes.subarray(await tcp.write(bytes));
        }
      }).catch(() => {});
    });
    await new Promise<void>((resolve) => {
      if (socket.readyState === WebSocket.OPEN) resolve();
      else socket.addEventListener("open", () => resolve());
    });
    const tcp = await connecting;
    const reading = (async () => {
      const buffer = new Uint8Array(65_536);
      for (;;) {
        const count = await tcp.read(buffer).catch(() => null);
        if (count === null) break;
        for (let at = 0; at < count; at += most) {
          const part = buffer.slice(at, Math.min(count, at + most));
          if (socket.readyState === WebSocket.OPEN) socket.send(part);
        }
      }
      if (socket.readyState === WebSocket.OPEN) socket.close();
    })();
    await ended;
    tcp.close();
    await reading;
    await writing;
  };
  const server = Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: () => {},
    ...options.tls,
  }, (request) => {
    const { pathname, search } = new URL(request.url);
    requests.push(pathname + search);
    const { socket, response } = Deno.upgradeWebSocket(request, {
      idleTimeout: options.idleTimeout ?? 0,
    });
    sockets.add(socket);
    const one = relay(socket).finally(() => {
      sockets.delete(socket);
      relaying.delete(one);
    });
    relaying.add(one);
    return response;
  });
  return {
    port: server.addr.port,
    requests,
    split: (bytes) => most = bytes,
    say(text) {
      for (const socket of sockets) socket.send(text);
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) {
        if (socket.readyState === WebSocket.OPEN) socket.close();
      }
      await Promise.all(relaying);
      await server.shutdown();
    },
  };
}
