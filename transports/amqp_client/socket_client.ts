import { connect as connectTcp } from "node:net";
import { connect as connectTls } from "node:tls";
import { nodeTlsOptions } from "../../model/tls_options.ts";
import { endMark } from "../amqp_protocol/port.ts";
import { peerOf } from "../peer.ts";
import type { ClientDialOptions } from "./options.ts";
import type { Wire, WireEvents } from "./wire.ts";

/**
 * Opens a socket of TCP or TLS.
 *
 * @param options The address, and the kind of socket.
 * @param events The events on it.
 * @returns The way to the broker.
 */
export function openSocket(
  options: ClientDialOptions,
  events: WireEvents,
): Wire {
  const { hostname: host, port, tls } = options;
  const opened = () => events.opened();
  const socket = tls === undefined
    ? connectTcp({ host, port, noDelay: true }, opened)
    : connectTls({ host, port, ...nodeTlsOptions(tls) }, opened);
  let failure: Error | undefined;
  socket.on("error", (error) => failure ??= error);
  socket.on("close", () => events.closed(failure));
  socket.on("data", (bytes) => events.received(bytes));
  socket.setNoDelay(true);
  return {
    write: (bytes, done) =>
      void socket.write(bytes, done && ((error) => done(error ?? undefined))),
    left: (done, mark = endMark(tls !== undefined)) =>
      void socket.write(mark, (error) => done(error ?? undefined)),
    peer: () => peerOf(socket),
    end: () => socket.destroySoon(),
    destroy: () => void socket.destroy(),
  };
}
