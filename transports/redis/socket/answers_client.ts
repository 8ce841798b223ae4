import handlers from "ioredis/built/DataHandler.js";
import { ResponseTooLargeError } from "../../../model/response_limit.ts";

/** The part of a client that is used here: its socket, once it is connected. */
interface Connecting {
  readonly stream?: {
    prependListener(event: "data", heard: (chunk: Uint8Array) => void): unknown;
  };
  on(event: "connect", connected: () => void): unknown;
}

/** The commands that wait for their answers. */
interface Queue {
  peekFront(): Waiting | undefined;
}

interface Waiting {
  readonly command: { reject(error: unknown): void };
}

/** The parser's callbacks of the client, which its types do not show. */
interface Handler {
  readonly redis: { readonly commandQueue: Queue };
  dispatch(this: Handler, read: () => void): void;
  returnFatalError(error: unknown): void;
}

/** The clients of this library, and what counts the bytes of their answers. */
const METERS = new WeakMap<object, Meter>();

/*
 * An error that the client throws while it reads an answer, as of one to SUBSCRIBE that is
 * a number, an empty list, or one more than was asked for, it throws again outside of every
 * caller, and the process ends (ioredis 6.0, `DataHandler.dispatch`; issues of this kind
 * that were reported: redis/ioredis#862, #878). Of our clients such an answer ends the
 * socket.
 */
// Bun gives the class itself where Deno and Node give what holds it.
const Handlers = handlers.default ??
  (handlers as unknown as typeof handlers.default);
const proto: Handler = Handlers.prototype as unknown as Handler;
const { dispatch } = proto;
proto.dispatch = function (read) {
  const meter = METERS.get(this.redis);
  if (meter === undefined) return dispatch.call(this, read);
  meter.end();
  const { commandQueue } = this.redis;
  const first = commandQueue.peekFront();
  try {
    read();
  } catch (error) {
    // A command that was taken from the queue before gets no answer otherwise: its caller
    // would wait for ever.
    if (commandQueue.peekFront() !== first) first?.command.reject(error);
    this.returnFatalError(error);
  }
};

/** Sees to it that no answer ends the process, or fills its memory. */
export function guardAnswers(
  client: Connecting,
  most: number,
  onExcess: (error: Error) => void,
): void {
  METERS.set(client, new Meter(client, most, onExcess));
}

/**
 * Counts the bytes of an answer as they come, while the client keeps them until the answer
 * is whole: a text of gigabytes, a line without end, a list of millions.
 */
class Meter {
  #size = 0;

  /** Makes one. */
  constructor(
    client: Connecting,
    most: number,
    onExcess: (error: Error) => void,
  ) {
    // Behind the client's own, so that it is called before it.
    client.on("connect", () => {
      client.stream?.prependListener("data", (chunk) => {
        this.#size += chunk.byteLength;
        if (this.#size <= most) return;
        this.#size = 0;
        onExcess(new ResponseTooLargeError(most));
      });
    });
  }

  /** An answer has come whole. */
  end(): void {
    this.#size = 0;
  }
}
