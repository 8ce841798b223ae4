import type { Binding } from "../../model/binding.ts";
import { ChannelError, NotFoundError } from "../../model/errors.ts";
import type { Entity } from "../entities/entities.ts";
import { Exchange } from "../entities/exchange.ts";

/**
 * Makes of the error of a binding one that may pass, where its exchange goes with its last
 * binding: that was there when it was declared before, and was just going with a queue.
 *
 * @param error The broker's error.
 * @param binding The binding.
 * @param entity The queue or exchange that has it.
 * @returns The error to tell.
 */
export function orGoing(
  error: unknown,
  binding: Binding | undefined,
  { bindings }: Entity,
): unknown {
  if (!(error instanceof NotFoundError)) return error;
  const isGoing = bindings.some(({ exchange }) =>
    exchange instanceof Exchange && exchange.autoDelete &&
    exchange.name === binding?.source
  );
  return isGoing
    ? new ChannelError(error.message, { code: "channel-closed", cause: error })
    : error;
}
