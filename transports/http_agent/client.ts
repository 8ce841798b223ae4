import type { Agent, ClientRequest } from "node:http";

/** Requests on sockets that had carried others before them. */
const reusing = new WeakSet<ClientRequest>();

/**
 * Sees to it that requests are sent as often as they are asked for. Where a socket ends
 * that has carried others before, Deno sends its request again by itself, and also when
 * it was called off (denoland/deno#36786): a publish that missed its deadline would be
 * sent twice, and a receive that was given up would take messages.
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
