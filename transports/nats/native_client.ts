import type { NativeClient } from "../transport.ts";

/** `NatsConnection` of @nats-io/transport-node, as far as it is needed here. */
export interface NatsNative {
  /** Publishes to a subject. */
  publish(subject: string, payload?: Uint8Array | string): void;
  /** Resolves when the server has read what was sent. */
  flush(): Promise<void>;
}

/**
 * `NatsConnection` of @nats-io/transport-node, for subjects, and streams of one's own.
 *
 * It is the connection by which messages are put and taken: do not close or drain it.
 */
export const nativeClient: NativeClient<NatsNative> = {
  name: "@nats-io/transport-node",
  is: (client): client is NatsNative =>
    client instanceof Object && "publishMessage" in client &&
    "requestMany" in client,
};
