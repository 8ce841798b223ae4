import type { Agent, ClientRequest, IncomingMessage } from "node:http";
import { ResponseTooLargeError } from "../model/response_limit.ts";

/** Requests on sockets that had carried others before them. */
const reusing = new WeakSet<ClientRequest>();

/**
 * Sees to it that requests are sent as often as they are asked for. When a socket that has
 * carried other requests ends, Deno sends its request again by itself, even an aborted one
 * (denoland/deno#36786): a publish that missed its deadline would be sent twice, and a
 * receive that was given up would take messages.
 *
 * @typeParam A An agent, of `node:http` or `node:https`.
 * @param agent The agent that keeps the sockets.
 * @returns The same.
 */
export function sendingOnce<A extends Agent>(agent: A): A {
  const reuseSocket = agent.reuseSocket.bind(agent);
  agent.reuseSocket = (socket, request) => {
    reuseSocket(socket, request);
    reusing.add(request);
    request.reusedSocket = false;
  };
  return agent;
}

/**
 * Bounds the bodies of answers: one that is larger ends with an error, and its socket with it.
 *
 * @typeParam A An agent, of `node:http` or `node:https`.
 * @param agent The agent.
 * @param most The maximum number of bytes of a body.
 * @returns The same.
 */
export function bounding<A extends Agent>(agent: A, most: number): A {
  const hooked = agent as unknown as Requesting;
  const addRequest = hooked.addRequest.bind(agent);
  hooked.addRequest = (request, ...rest) => {
    request.once("response", (response) => bound(response, most));
    addRequest(request, ...rest);
  };
  return agent;
}

/** The method of an agent that its types leave out. */
interface Requesting {
  addRequest(request: ClientRequest, ...rest: readonly unknown[]): void;
}

/** Counts what comes as it is handed to the stream: a listener would make it flow too early. */
function bound(response: IncomingMessage, most: number): void {
  const push = response.push.bind(response);
  let size = 0;
  response.push = (chunk: Uint8Array | null, encoding?: BufferEncoding) => {
    size += chunk?.length ?? 0;
    if (size <= most) return push(chunk, encoding);
    response.destroy(new ResponseTooLargeError(most));
    return false;
  };
}

/**
 * Says whether a request failed because the server had closed the socket while nobody
 * used it: then it may be sent again.
 *
 * @param request The request.
 * @param error Why it failed.
 * @returns Whether it is so.
 */
export function wasStale(request: ClientRequest, error: Error): boolean {
  return reusing.has(request) && "code" in error && error.code === "ECONNRESET";
}
