/** What amqplib's channel keeps of its calls. */
interface Calls {
  /** The calls that wait for their turn to be sent; none any more once it has ended. */
  readonly pending: readonly Call[] | null;
  sendImmediately(method: unknown, fields: unknown): unknown;
}

interface Call {
  readonly method: unknown;
  readonly fields: unknown;
}

/**
 * Sends calls of `get` one behind another: amqplib waits for the answer to each before it
 * sends the next, and a hundred messages take a hundred times the way to the broker and
 * back. The broker answers a channel's calls in order.
 *
 * None is sent before a call of another kind that waits for its turn: amqplib takes the
 * next answer for that of the call that is next.
 */
export class GetPipeline {
  readonly #calls: Calls | undefined;
  readonly #send: Calls["sendImmediately"] = () => {};
  /** The fields of those that wait for their turn, and were sent. */
  readonly #sent = new Set<unknown>();

  /**
   * Makes one.
   *
   * @param channel A channel of amqplib's; one that keeps its calls otherwise sends them as ever.
   */
  constructor(channel: object) {
    if (!isCalls(channel)) return;
    this.#calls = channel;
    const send = this.#send = channel.sendImmediately.bind(channel);
    channel.sendImmediately = (method, fields) =>
      this.#sent.delete(fields) ? undefined : send(method, fields);
  }

  /**
   * Makes a call, and sends it at once where all that wait for their turn were sent.
   *
   * @typeParam T The answer.
   * @param get Makes the call.
   * @returns Its answer.
   */
  send<T>(get: () => Promise<T>): Promise<T> {
    const before = this.#waiting?.length;
    const answer = get();
    const waiting = this.#waiting ?? [];
    const call = waiting.at(-1);
    const isNext = waiting.length - 1 === before && before === this.#sent.size;
    if (isNext && call !== undefined) {
      this.#sent.add(call.fields);
      this.#send(call.method, call.fields);
    }
    return answer;
  }

  get #waiting(): readonly Call[] | undefined {
    return this.#calls?.pending ?? undefined;
  }
}

function isCalls(channel: object): channel is Calls {
  return "pending" in channel && Array.isArray(channel.pending) &&
    "sendImmediately" in channel &&
    typeof channel.sendImmediately === "function";
}
