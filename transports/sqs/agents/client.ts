import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { ClientConfig } from "../client_config.ts";

/** What the SDK's clients are made with, and the agents that keep their sockets. */
export interface ConfigWithAgents extends Omit<ClientConfig, "requestHandler"> {
  readonly requestHandler:
    & Omit<
      ClientConfig["requestHandler"],
      "httpAgent" | "httpsAgent"
    >
    & { readonly httpAgent: HttpAgent; readonly httpsAgent: HttpsAgent };
}

/**
 * Gives the SDK agents whose sockets end with them. Deno's own may open another one for a
 * request that was aborted, after they have been destroyed: it would keep the process.
 *
 * @param config What the SDK's clients are made with.
 * @returns The same with agents.
 */
export function withAgents(config: ClientConfig): ConfigWithAgents {
  const { httpAgent, httpsAgent, ...rest } = config.requestHandler;
  return {
    ...config,
    requestHandler: {
      ...rest,
      httpAgent: endingSockets(new HttpAgent(httpAgent)),
      httpsAgent: endingSockets(new HttpsAgent(httpsAgent)),
    },
  };
}

function endingSockets<A extends HttpAgent>(agent: A): A {
  type Socket = ReturnType<HttpAgent["createConnection"]>;
  const open = new Set<NonNullable<Socket>>();
  let destroyed = false;
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    const socket = create(options, callback);
    if (socket === null || socket === undefined) return socket;
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    if (destroyed) socket.destroy();
    return socket;
  };
  const destroy = agent.destroy.bind(agent);
  agent.destroy = () => {
    destroyed = true;
    destroy();
    for (const socket of open) socket.destroy();
  };
  return agent;
}
