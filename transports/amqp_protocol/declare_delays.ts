import type { CallOptions } from "../../model/call_options.ts";
import { PreconditionFailedError } from "../../model/errors.ts";
import type { Channel } from "../transport.ts";
import {
  type DelayStep,
  delaySteps,
  DELIVERY_STEP,
  earlierSteps,
  FIRST_STEP,
} from "./delay_layout.ts";

/** A channel waits for each answer: so many share the way. */
const CHANNELS = 6;

/** The source of channels. */
export interface ChannelSource {
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * Declares all that delays need, or finds that it is there: exchanges, queues, and what
 * binds them. Each is declared for itself, for any of them may be gone. Quorum queues that
 * lose nothing where the broker has them (RabbitMQ 3.10), else classic ones; what is there
 * of either kind stays as it is.
 *
 * @param source The source of channels, which are closed again.
 * @param call The limits.
 * @param canDelay Whether the broker can delay; else it needs no more than what leads back to queues.
 */
export async function declareDelays(
  source: ChannelSource,
  call: CallOptions,
  canDelay = true,
): Promise<void> {
  const declaring = await Declaring.begin(source, call);
  try {
    // One that is there already, by whoever, will do.
    if (!canDelay) return void await declaring.isTaken(DELIVERY_STEP);
    const steps = await declaring.isTaken(FIRST_STEP)
      ? [...delaySteps()]
      : [...earlierSteps()];
    for (const type of ["exchange", "queue", "binding"] as const) {
      await declaring.run(steps.filter((step) => step.type === type));
    }
  } finally {
    await declaring.end();
  }
}

/** Some channels, and the declarations by them. */
class Declaring {
  readonly #source: ChannelSource;
  readonly #call: CallOptions;
  readonly #channels: Channel[];
  /** Whether the broker has refused a queue as it should be: older ones refuse each. */
  #isPlain = false;

  private constructor(
    source: ChannelSource,
    call: CallOptions,
    channels: Channel[],
  ) {
    this.#source = source;
    this.#call = call;
    this.#channels = channels;
  }

  static async begin(
    source: ChannelSource,
    call: CallOptions,
  ): Promise<Declaring> {
    const opened = await Promise.allSettled(
      Array.from({ length: CHANNELS }, () => source.openChannel(call)),
    );
    const channels = opened.flatMap((each) =>
      each.status === "fulfilled" ? [each.value] : []
    );
    // A connection may have no more channels than that.
    const [first] = opened;
    if (channels.length === 0 && first?.status === "rejected") {
      throw first.reason;
    }
    return new Declaring(source, call, channels);
  }

  /** Declares, unless another of the name is there, or the broker has no such kind. */
  async isTaken(step: DelayStep, at = 0): Promise<boolean> {
    const channel = this.#channels[at];
    try {
      if (channel !== undefined) await declare(channel, step, this.#call);
      return true;
    } catch (error) {
      if (!(error instanceof PreconditionFailedError)) throw error;
      // It has ended the channel.
      this.#channels[at] = await this.#source.openChannel(this.#call);
      return false;
    }
  }

  /** Declares many at once. */
  async run(steps: readonly DelayStep[]): Promise<void> {
    const waiting = [...steps].reverse();
    const work = async (at: number) => {
      for (let step; (step = waiting.pop()) !== undefined;) {
        await this.#declare(step, at);
      }
    };
    // One alone at first: where that is refused the others would be, too.
    const first = waiting.pop();
    if (first !== undefined) await this.#declare(first, 0);
    await Promise.all(this.#channels.map((_, at) => work(at)));
  }

  async end(): Promise<void> {
    await Promise.all(
      this.#channels.map((each) => each[Symbol.asyncDispose]()),
    );
  }

  async #declare(step: DelayStep, at: number): Promise<void> {
    const channel = () => this.#channels[at];
    if (step.type !== "queue") {
      const open = channel();
      if (open !== undefined) await declare(open, step, this.#call);
      return;
    }
    if (!this.#isPlain && await this.isTaken(step, at)) return;
    this.#isPlain = true;
    const plain = { ...step, queue: step.plain };
    if (await this.isTaken(plain, at)) return;
    // It is there, and no classic one.
    this.#isPlain = false;
    const open = channel();
    if (open !== undefined) await declare(open, step, this.#call);
  }
}

async function declare(
  channel: Channel,
  step: DelayStep,
  call: CallOptions,
): Promise<void> {
  switch (step.type) {
    case "exchange":
      return await channel.declareExchange(step.exchange, call);
    case "queue":
      return void await channel.declareQueue(step.queue, call);
    case "binding":
      return await channel.bind(step.binding, call);
  }
}
