import assert from "node:assert/strict";
import {
  type Binding,
  type Delivery,
  type FieldTable,
  PublishError,
  type Publishing,
  type Subscription,
} from "../../transports/transport.ts";

/** Milliseconds after which what a case waits for counts as missing. */
export const PATIENCE = 30_000;

/** Milliseconds after which a case counts as one without end, whatever it waits for. */
export const CASE_PATIENCE = 90_000;

/**
 * Makes a name that no other case has.
 *
 * @param kind The kind of thing that it names.
 * @returns The name.
 */
export function unique(kind: string): string {
  return `dashi-${kind}-${crypto.randomUUID()}`;
}

/**
 * Makes a body.
 *
 * @param text Its text.
 * @returns Its bytes in UTF-8.
 */
export function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * Reads a body.
 *
 * @param delivery The delivery.
 * @returns Its text.
 */
export function textOf(delivery: Delivery | undefined): string | undefined {
  return delivery === undefined
    ? undefined
    : new TextDecoder().decode(delivery.body);
}

/**
 * Makes the limits of a call that ought to be quick.
 *
 * @returns A deadline that fails the case.
 */
export function soon(): { readonly deadline: number } {
  return { deadline: performance.now() + PATIENCE };
}

/**
 * Waits for what ought to come.
 *
 * @typeParam T The type of the result.
 * @param promise The promise to wait for.
 * @param what Its name, for the error.
 * @param patience Milliseconds after which it counts as missing.
 * @returns Its result.
 */
export async function arrives<T>(
  promise: Promise<T>,
  what: string,
  patience: number = PATIENCE,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new Error(`${what} did not come within ${patience} ms`)),
      patience,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Makes a question that fails the case when it is asked for too long: for every loop
 * that ends when the broker has kept its promise.
 *
 * @param what The condition's name, for the error.
 * @returns The question, which also lets timers and sockets have their turn.
 */
export function patience(
  what: string | (() => string),
): () => Promise<void> {
  const end = performance.now() + PATIENCE;
  return async () => {
    if (performance.now() >= end) {
      const told = typeof what === "string" ? what : what();
      assert.fail(`${told} did not come within ${PATIENCE} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, 1));
  };
}

/**
 * Asks until something is so.
 *
 * @param isSo Whether it is so by now.
 * @param what Its name, for the error.
 */
export async function until(
  isSo: () => boolean | Promise<boolean>,
  what: string | (() => string),
): Promise<void> {
  const wait = patience(what);
  while (!await isSo()) await wait();
}

/**
 * Looks until something is there.
 *
 * @typeParam T The type of what is looked for.
 * @param look Looks for it once.
 * @param what Its name, for the error.
 * @returns What was found.
 */
export async function appears<T>(
  look: () => Promise<T | undefined>,
  what: string,
): Promise<T> {
  const wait = patience(what);
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    await wait();
  }
}

/**
 * Tries what must be done before a time is over, and again with a longer one where it was
 * too short: a machine may stand still for seconds.
 *
 * @param times The times, ms, shortest first; what fails within the last fails the case.
 * @param attempt Does it, with nothing of the attempt before.
 */
export async function inTime(
  times: readonly number[],
  attempt: (time: number) => Promise<void>,
): Promise<void> {
  for (const [i, time] of times.entries()) {
    const began = performance.now();
    try {
      return await attempt(time);
    } catch (error) {
      // So early nothing can have been too late.
      const isEarly = performance.now() - began < time / 2;
      if (isEarly || i === times.length - 1) throw error;
    }
  }
}

/** A consumer whose deliveries wait to be looked at. */
export class Collector {
  /** All deliveries so far, those that were taken by `next` too. */
  readonly all: Delivery[] = [];
  /** Set once the broker has answered. */
  subscription: Subscription | undefined;
  #taken = 0;
  #waiting: (() => void) | undefined;

  /** Is called for each message. */
  readonly deliver = (delivery: Delivery): void => {
    this.all.push(delivery);
    this.#waiting?.();
  };

  /** Waits for the next delivery, for so many ms. */
  async next(patience: number = PATIENCE): Promise<Delivery> {
    while (this.all.length <= this.#taken) {
      await arrives(
        new Promise<void>((resolve) => this.#waiting = resolve),
        "a delivery",
        patience,
      );
    }
    const delivery = this.all[this.#taken++];
    assert.ok(delivery !== undefined);
    this.subscription?.taken?.(1);
    return delivery;
  }

  /** Waits for so many deliveries. */
  async take(count: number): Promise<Delivery[]> {
    const taken: Delivery[] = [];
    while (taken.length < count) taken.push(await this.next());
    return taken;
  }
}

/**
 * Makes a message.
 *
 * @param exchange Its exchange.
 * @param routingKey Its key.
 * @param text Its body.
 * @param options The options that differ from the defaults.
 * @returns The message.
 */
export function publishing(
  exchange: string,
  routingKey: string,
  text: string,
  options: Partial<Publishing> = {},
): Publishing {
  return {
    exchange,
    routingKey,
    mandatory: false,
    delay: 0,
    properties: {},
    body: bytes(text),
    ...options,
  };
}

/**
 * Makes a binding.
 *
 * @param kind The kind of its destination.
 * @param name The name of that.
 * @param source The exchange that it comes from.
 * @param routingKey Its key.
 * @param arguments_ Its arguments.
 * @returns The binding.
 */
export function bindingOf(
  kind: "queue" | "exchange",
  name: string,
  source: string,
  routingKey = "",
  arguments_: FieldTable = {},
): Binding {
  return {
    source,
    destination: { kind, name },
    routingKey,
    arguments: arguments_,
  };
}

/**
 * Expects a call to reject with an error of a code.
 *
 * @param promise The call.
 * @param code The code.
 * @param words Words that its text must contain.
 * @returns The error.
 */
export async function rejectsWith(
  promise: Promise<unknown>,
  code: string,
  ...words: string[]
): Promise<Error> {
  let error: unknown;
  try {
    await arrives(promise, `a rejection with ${code}`);
  } catch (caught) {
    error = caught;
  }
  assert.ok(error instanceof Error, `it did not reject with ${code}`);
  assert.ok(
    "code" in error && error.code === code,
    `expected ${code}, got ${"code" in error ? error.code : ""} ${error}`,
  );
  for (const word of words) {
    assert.ok(error.message.includes(word), `"${word}" in "${error.message}"`);
  }
  return error;
}

/**
 * Arranges what came as it is to be compared: as it came, or sorted where the broker
 * keeps no order.
 *
 * @typeParam T The type of the results.
 * @param list The list.
 * @param harness The harness.
 * @returns The list.
 */
export function asTheyCome<T>(
  list: readonly T[],
  { unordered }: { readonly unordered?: string | undefined },
): readonly T[] {
  return unordered === undefined ? list : list.toSorted();
}

/**
 * Says whether a broker has refused a message, as it may for a queue that is just going.
 *
 * @param error What publishing rejected with.
 * @returns Whether it has.
 */
export function isRefused(error: unknown): boolean {
  return error instanceof PublishError && error.code === "publish-refused";
}
