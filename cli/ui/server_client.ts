import {
  createServer,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { cookieName, type Gate, judge } from "./guard.ts";

/** The most bytes of a request's body. */
const MAX_BODY = 8 * 1024 * 1024;

/** Sent with each answer: the page runs no script but its own, is in no frame, and stays in no cache. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  "cache-control": "no-store",
  // None is left open when the server ends, on runtimes that cannot end them all.
  "connection": "close",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** A request that may be answered. */
export interface Request {
  readonly method: string;
  readonly path: string;
  /** What was posted. */
  readonly body: string;
}

/** Where events are sent to. */
export interface Sink {
  /** Sends a text. Returns whether the other side keeps up. */
  send(text: string): boolean;
  /** Calls back when it keeps up again. */
  onDrain(callback: () => void): void;
}

/** An answer. */
export interface Answer {
  readonly status: number;
  readonly type: string;
  /** What is sent; or what sends as long as somebody listens, and returns what ends it. */
  readonly body: string | Uint8Array | ((sink: Sink) => () => void);
}

/** A server that runs. */
export interface Server {
  /** Its port. */
  readonly port: number;
  /** Ends it, and all that it serves. */
  close(): Promise<void>;
}

/**
 * Serves on loopback, to those who have the token alone.
 *
 * @param port The port; 0 for one that is free.
 * @param token The token.
 * @param answer Answers a request.
 * @returns The server.
 */
export async function serve(
  port: number,
  token: string,
  answer: (request: Request) => Promise<Answer>,
): Promise<Server> {
  const gate = { port, token };
  const open = new Set<ServerResponse>();
  const server = createServer((incoming, outgoing) => {
    open.add(outgoing);
    outgoing.once("close", () => open.delete(outgoing));
    respond(incoming, outgoing, gate, answer).catch(() => outgoing.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  gate.port = (server.address() as AddressInfo).port; // of a server that listens on a port
  return {
    port: gate.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const each of open) each.destroy();
        server.closeAllConnections();
      }),
  };
}

async function respond(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  gate: Gate,
  answer: (request: Request) => Promise<Answer>,
): Promise<void> {
  const closed = new Promise<void>((resolve) =>
    outgoing.once("close", () => resolve())
  );
  const { method = "GET" } = incoming;
  const url = new URL(incoming.url ?? "/", "http://localhost");
  const verdict = judge({
    method,
    path: url.pathname,
    query: url.searchParams,
    header: (name) => {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join() : value;
    },
  }, gate);
  if (verdict.kind === "refused") {
    return end(outgoing, verdict.status, "text/plain", verdict.reason);
  }
  if (verdict.kind === "login") {
    // A redirect would be a step of the page that had the link, which has no such cookie.
    outgoing.setHeader(
      "set-cookie",
      `${
        cookieName(gate.port)
      }=${gate.token}; HttpOnly; SameSite=Strict; Path=/`,
    );
    const text =
      '<!doctype html><html lang="en"><title>Dashi</title><link rel="icon" href="data:,"><meta http-equiv="refresh" content="0;url=/">';
    return end(outgoing, 200, "text/html", text);
  }
  const body = await bodyOf(incoming);
  if (body === undefined) {
    const text = `A request has at most ${MAX_BODY} bytes.`;
    return end(outgoing, 413, "text/plain", text);
  }
  const given = await answer({ method, path: url.pathname, body });
  if (typeof given.body !== "function") {
    return end(outgoing, given.status, given.type, given.body);
  }
  head(outgoing, given.status, given.type);
  const stop = given.body({
    send: (text) => outgoing.write(text),
    onDrain: (callback) => void outgoing.once("drain", callback),
  });
  // It may have been closed while the answer was made.
  void closed.then(stop);
}

async function bodyOf(incoming: IncomingMessage): Promise<string | undefined> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of incoming) {
    size += chunk.byteLength;
    if (size > MAX_BODY) return undefined;
    chunks.push(chunk);
  }
  return await new Blob(chunks as Uint8Array<ArrayBuffer>[]).text();
}

function head(outgoing: ServerResponse, status: number, type: string): void {
  const charset = type.startsWith("image/") ? "" : "; charset=utf-8";
  outgoing.writeHead(status, {
    ...HEADERS,
    "content-type": `${type}${charset}`,
  });
}

function end(
  outgoing: ServerResponse,
  status: number,
  type: string,
  body: string | Uint8Array,
): void {
  head(outgoing, status, type);
  outgoing.end(body);
}
