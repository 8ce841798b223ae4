import type { IncomingMessage } from "node:http";
import { Agent, request } from "node:https";
import { nodeTlsOptions, type TlsOptions } from "../../model/tls_options.ts";
import { sendingOnce, wasStale } from "../http_agent_client.ts";

/** `fetch`, or what does the same. */
export interface Sender {
  /** Sends a request. */
  send(url: string, init: RequestInit): Promise<Response>;
  /** Closes what is kept open for the next request. */
  close(): void;
}

/**
 * `fetch` trusts the system's authorities and takes no certificates: where others
 * are given the request goes by node:https, which all runtimes have.
 *
 * @param tls How to speak TLS.
 * @returns The function that sends requests.
 */
export function createSender(tls: TlsOptions): Sender {
  const agent = sendingOnce(
    new Agent({ keepAlive: true, ...nodeTlsOptions(tls) }),
  );
  const send: Sender["send"] = (url, options) =>
    new Promise((resolve, reject) => {
      const { method, headers, body, signal } = options;
      const sent = request(url, {
        agent,
        ...(method === undefined ? {} : { method }),
        headers: Object.fromEntries(new Headers(headers)),
        ...(signal ? { signal } : {}),
      }, (incoming) => resolve(responseOf(incoming)));
      sent.on("error", (error) => {
        if (signal?.aborted || !wasStale(sent, error)) reject(error);
        else resolve(send(url, options));
      });
      sent.end(typeof body === "string" ? body : undefined);
    });
  return {
    send,
    close: () => agent.destroy(),
  };
}

function responseOf(incoming: IncomingMessage): Response {
  const headers = new Headers();
  for (const name of ["date", "etag"] as const) {
    const value = incoming.headers[name];
    if (typeof value === "string") headers.set(name, value);
  }
  const status = incoming.statusCode ?? 500;
  if (status === 204 || status === 304) {
    incoming.resume();
    return new Response(null, { status, headers });
  }
  // An answer may end after it was cut, or was no longer wanted.
  let open = true;
  const finish = (how: () => void) => {
    if (open) how();
    open = false;
  };
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    start(controller) {
      incoming.on("data", (chunk) => {
        if (open) controller.enqueue(new Uint8Array(chunk));
      });
      incoming.on("end", () => finish(() => controller.close()));
      incoming.on(
        "error",
        (error) => finish(() => controller.error(error)),
      );
    },
    cancel: () => finish(() => void incoming.destroy()),
  });
  return new Response(body, { status, headers });
}
