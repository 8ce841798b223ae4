import type { CallOptions } from "../../model/call_options.ts";
import type { ServerInfo } from "../server_info.ts";
import type { Caller } from "./client.ts";
import { decode, valuesIn } from "./reply.ts";

/** Asks the server what it is. A user may lack the right to that. */
export async function askServer(
  client: Caller,
  options?: CallOptions,
): Promise<ServerInfo> {
  const action = "ask the server what it is";
  const [info, time] = await Promise.all([
    client.ask(action, ["INFO", "server"], options),
    client.ask(action, ["TIME"], options),
  ]);
  const value = valuesIn(decode(info ?? ""));
  const [seconds, micros] = Array.isArray(time)
    ? time.map((each) => Number(decode(each)))
    : [];
  return {
    // Valkey says so beside the version of Redis that it is like.
    product: value("server_name") ?? (info === undefined ? undefined : "redis"),
    version: value("valkey_version") ?? value("redis_version"),
    time: seconds === undefined || micros === undefined
      ? undefined
      : seconds * 1000 + micros / 1000,
  };
}
