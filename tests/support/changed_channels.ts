import { createTransport } from "../../transports/memory/mod.ts";
import type { Channel, Transport } from "../../transports/transport.ts";

/** A memory transport whose channels are changed, and whose connections may have direct replies. */
export function withChannels(
  change: (channel: Channel) => void,
  directReplyTo?: string,
): Transport {
  const inner = createTransport();
  return {
    ...inner,
    name: "memory",
    async connect(url, options) {
      const connection = await inner.connect(url, options);
      const openChannel = connection.openChannel.bind(connection);
      connection.openChannel = async (...given) => {
        const channel = await openChannel(...given);
        change(channel);
        return channel;
      };
      return Object.assign(connection, { directReplyTo });
    },
  };
}
