import { decode } from "../reply.ts";

/** The handlers of pushed messages, on a client that has subscribed. None of these may throw. */
export interface Arrivals {
  /** These keys changed; `undefined` is all of them. */
  changed(keys: readonly string[] | undefined): void;
  /** A message on a channel; `pattern` is the one that it matched, if it was not named itself. */
  message(
    channel: string,
    pattern: string | undefined,
    body: Uint8Array,
  ): void;
}

/** The channel on which a server tells that keys changed. */
export const INVALIDATE = "__redis__:invalidate";

/** The events of a client that has subscribed. */
interface Emitter {
  on(name: string, listener: (...said: unknown[]) => void): unknown;
}

/** Hands on what arrives on a client that has subscribed. */
export function listenTo(
  redis: Emitter,
  arrivals: Arrivals,
  hear: () => void,
): void {
  redis.on("messageBuffer", (name: unknown, said: unknown) => {
    hear();
    const channel = decode(name);
    if (channel !== INVALIDATE) {
      if (said instanceof Uint8Array) {
        arrivals.message(channel, undefined, said);
      }
      return;
    }
    arrivals.changed(
      Array.isArray(said) ? said.map((key) => decode(key)) : undefined,
    );
  });
  redis.on(
    "pmessageBuffer",
    (pattern: unknown, channel: unknown, body: unknown) => {
      hear();
      if (!(body instanceof Uint8Array)) return;
      arrivals.message(decode(channel), decode(pattern), body);
    },
  );
}
