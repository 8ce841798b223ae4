import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import { bounding, sendingOnce } from "../http_agent_client.ts";
import type { ClientConfig } from "./client_config.ts";

/** The configuration of the SDK's clients, with the agents that keep their sockets. */
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
 * @param config The configuration of the SDK's clients.
 * @param maxResponseSize The maximum number of bytes of an answer.
 * @returns The same with agents.
 */
export function withAgents(
  config: ClientConfig,
  maxResponseSize: number,
): ConfigWithAgents {
  const { httpAgent, httpsAgent, ...rest } = config.requestHandler;
  return {
    ...config,
    requestHandler: {
      ...rest,
      httpAgent: bounding(
        sendingOnce(new HttpAgent(httpAgent)),
        maxResponseSize,
      ),
      httpsAgent: bounding(
        sendingOnce(new HttpsAgent(httpsAgent)),
        maxResponseSize,
      ),
    },
  };
}
