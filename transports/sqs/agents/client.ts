import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { sendingOnce } from "../../http_agent/client.ts";
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
 * Gives the SDK agents that send each request once.
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
      httpAgent: sendingOnce(new HttpAgent(httpAgent)),
      httpsAgent: sendingOnce(new HttpsAgent(httpsAgent)),
    },
  };
}
