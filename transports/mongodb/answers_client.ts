import { MongoNetworkError } from "mongodb";
import { Connection } from "mongodb/lib/cmap/connection.js";
import { errorText } from "../../model/error_text.ts";
import { checkParts, MessageFollower } from "./answers/messages.ts";

/** The part of the driver that cuts the stream of a socket into messages. */
interface Messages {
  _transform(
    chunk: Uint8Array,
    encoding: unknown,
    done: (error?: Error | null) => void,
  ): void;
  push(message: Uint8Array | null): boolean;
  destroy(error: Error): void;
  readonly destroyed: boolean;
}

/**
 * Makes a class of connections for the driver, whose messages have a limit. The driver
 * itself has none: it keeps what comes until a message is whole, loops for ever where one
 * has no bytes or a part of one has fewer than none, and decompresses what it never asked
 * for, whatever that becomes (mongodb 7.9, `SizedMessageTransform`, `OpMsgResponse.parse`
 * and `decompressResponse`).
 *
 * @returns The class, for the driver's option `connectionType`.
 */
export function boundedConnection(most: number): unknown {
  return class extends Connection {
    constructor(stream: unknown, options: unknown) {
      super(stream, options);
      const { messageStream }: { messageStream?: Messages } = this;
      if (messageStream !== undefined) {
        bound(messageStream, new MessageFollower(most));
      }
    }
  };
}

function bound(messages: Messages, follower: MessageFollower): void {
  const transform = messages._transform.bind(messages);
  const push = messages.push.bind(messages);
  messages._transform = (chunk, encoding, done) => {
    try {
      follower.follow(chunk);
    } catch (error) {
      return done(lost(error));
    }
    transform(chunk, encoding, done);
  };
  messages.push = (message) => {
    if (message === null) return push(null);
    if (messages.destroyed) return true;
    try {
      checkParts(message);
    } catch (error) {
      messages.destroy(lost(error));
      return true;
    }
    return push(message);
  };
}

/** For the driver, a socket that failed. */
function lost(cause: unknown): Error {
  return new MongoNetworkError(errorText(cause), {
    cause: cause instanceof Error ? cause : new Error(errorText(cause)),
  });
}
