import type { Wire, WireEvents } from "./wire.ts";

/**
 * Opens a WebSocket, by the platform's own client.
 *
 * @param url Where to: `ws://` or `wss://`.
 * @param events Hears of what happens.
 * @returns The wire; not yet open.
 */
export function openWebSocket(url: string, events: WireEvents): Wire {
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  let ended = false;
  const end = (error: unknown) => {
    if (ended) return;
    ended = true;
    events.closed(error);
  };
  socket.addEventListener("open", () => events.opened());
  socket.addEventListener("message", ({ data }) => {
    if (ended) return;
    if (data instanceof ArrayBuffer) events.received(new Uint8Array(data));
    else {
      end(new Error("the WebSocket brought text, and AMQP is bytes"));
      socket.close();
    }
  });
  socket.addEventListener("error", (event) => {
    const text = "message" in event && typeof event.message === "string"
      ? event.message
      : "";
    end(new Error(text || "the WebSocket failed", { cause: event }));
  });
  socket.addEventListener("close", ({ code, reason }) => {
    const words = reason === "" ? "" : `: ${reason}`;
    end(new Error(`the WebSocket was closed (${code}${words})`));
  });
  return {
    write(bytes) {
      if (socket.readyState === WebSocket.OPEN) socket.send(bytes.slice());
    },
    end: () => socket.close(),
    destroy() {
      socket.close();
      // The other side may never answer: nobody waits for it.
      end(undefined);
    },
  };
}
