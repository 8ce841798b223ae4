import type { CallOptions } from "../../model/call_options.ts";
import type { Channel } from "../transport.ts";

/** A channel that is opened with the first need, and again when it has ended: for questions to which an error may be the answer. */
export class SpareChannel {
  readonly #open: (call: CallOptions) => Promise<Channel>;
  #channel: Channel | undefined;

  /** Makes one that is not open yet. */
  constructor(open: (call: CallOptions) => Promise<Channel>) {
    this.#open = open;
  }

  /** Returns the channel, open. */
  async get(call: CallOptions): Promise<Channel> {
    if (this.#channel !== undefined) return this.#channel;
    const channel = await this.#open(call);
    this.#channel = channel;
    channel.closed.then(() => {
      if (this.#channel === channel) this.#channel = undefined;
    });
    return channel;
  }
}
