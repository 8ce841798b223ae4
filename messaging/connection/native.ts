import { UnsupportedError } from "../../model/errors.ts";
import type { NativeClient } from "../../transports/transport.ts";
import type { OperationOptions } from "../operation_options.ts";
import type { Session } from "./session.ts";

/**
 * Hands out the client under a connection.
 *
 * @typeParam T The client.
 * @param session The session; it connects first.
 * @param wanted Which client is wanted.
 * @param options The limits of connecting.
 * @returns The client of the connection that is open now.
 * @throws {UnsupportedError} If the connection has another client, or none.
 */
export async function nativeOf<T>(
  session: Session,
  wanted: NativeClient<T>,
  options: OperationOptions | undefined,
): Promise<T> {
  if (typeof wanted?.is !== "function") {
    throw new TypeError(
      'Cannot hand out a client: give "nativeClient", which the entry point of the transport exports: import { nativeClient } from "@dashi/mq/redis"',
    );
  }
  const { connection, endpoint } = await session.link(session.call(options));
  const client = connection.native?.();
  if (wanted.is(client)) return client;
  const { transport } = endpoint;
  throw new UnsupportedError(
    client === undefined
      ? `Cannot hand out the client "${wanted.name}": the transport "${transport}" has no client to hand out`
      : `Cannot hand out the client "${wanted.name}": the transport "${transport}" has another one; import "nativeClient" from the entry point of that transport`,
  );
}
