import type { CallOptions } from "../../model/call_options.ts";
import type { Channel } from "../transport.ts";
import { type DelayStep, delaySteps } from "./delay.ts";

/** A channel waits for each answer: so many share the way. */
const CHANNELS = 6;

/** Where channels come from. */
export interface ChannelSource {
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * Declares all that delays need, or finds that it is there: exchanges, queues, and what
 * binds them. Each is declared for itself, for any of them may be gone.
 *
 * @param source Where channels come from; they are closed again.
 * @param call The limits.
 */
export async function declareDelays(
  source: ChannelSource,
  call: CallOptions,
): Promise<void> {
  const steps = [...delaySteps()];
  const opened = await Promise.allSettled(
    Array.from({ length: CHANNELS }, () => source.openChannel(call)),
  );
  const channels = opened.flatMap((each) =>
    each.status === "fulfilled" ? [each.value] : []
  );
  try {
    // A connection may have no more channels than that.
    const [first] = opened;
    if (channels.length === 0 && first?.status === "rejected") {
      throw first.reason;
    }
    for (const type of ["exchange", "queue", "binding"] as const) {
      const waiting = steps.filter((step) => step.type === type).reverse();
      await Promise.all(channels.map(async (channel) => {
        for (let step; (step = waiting.pop()) !== undefined;) {
          await declare(channel, step, call);
        }
      }));
    }
  } finally {
    await Promise.all(channels.map((each) => each[Symbol.asyncDispose]()));
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
