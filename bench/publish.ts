import type { Producer, PublishOptions } from "@dashi/mq";
import { rate, WINDOW } from "./measure.ts";

/** Of 1 KiB, as in all benchmarks of real brokers. */
export const BODY: Uint8Array = new Uint8Array(1024).fill(97);

/** Publishes so many messages, a window of them at once; says how many a second. */
export async function publishRate(
  producer: Producer<unknown>,
  count: number,
  options: PublishOptions,
  window: number = WINDOW,
): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < count; i += window) {
    await Promise.all(Array.from(
      { length: Math.min(window, count - i) },
      () => producer.publish(BODY, options),
    ));
  }
  return rate(count, began);
}
