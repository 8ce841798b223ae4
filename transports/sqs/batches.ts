import type { BatcherSettings } from "../../async/batcher.ts";
import type { Limits } from "../../async/limits.ts";
import { notAnswered } from "../connection_errors.ts";
import { type Failure, plainCode } from "./errors.ts";

/** The result of each entry of a batch, in its order: `undefined` is success. */
export type BatchResult = readonly (Failure | undefined)[];

/** The failure of an entry that the answer does not name. */
const UNKNOWN: Failure = {
  code: "InternalError",
  text: "AWS does not say what became of it",
  status: 200,
  senderFault: false,
  isUnknown: true,
};

/** The answer to a batch, as the SDK has it. */
export interface BatchAnswer {
  readonly Failed?:
    | readonly {
      readonly Id?: string | undefined;
      readonly Code?: string | undefined;
      readonly Message?: string | undefined;
      readonly SenderFault?: boolean | undefined;
    }[]
    | undefined;
  readonly Successful?:
    | readonly { readonly Id?: string | undefined }[]
    | undefined;
}

/**
 * Reads the answer to a batch whose entries are named by their index.
 *
 * @param count How many entries it had.
 * @param answer The answer.
 * @returns The result of each.
 */
export function resultOf(count: number, answer: BatchAnswer): BatchResult {
  const { Failed = [], Successful = [] } = answer;
  if (
    Failed.length === 0 && Successful.length === count &&
    Successful.every(({ Id }, i) => Id === String(i))
  ) return new Array(count).fill(undefined);
  // Of what is in neither list nothing is known. A name that was not asked about is ignored.
  const results = new Map<string | undefined, Failure | undefined>(
    Array.from({ length: count }, (_, i) => [String(i), UNKNOWN]),
  );
  for (const { Id } of Successful) {
    if (results.has(Id)) results.set(Id, undefined);
  }
  for (const { Id, Code, Message, SenderFault } of Failed) {
    if (!results.has(Id)) continue;
    results.set(Id, {
      code: plainCode(Code ?? "InternalError"),
      text: Message ?? Code ?? "it failed",
      status: 200,
      senderFault: SenderFault ?? false,
    });
  }
  return [...results.values()];
}

/** SQS's and SNS's, for all batches. */
const MAX_ENTRIES = 10;

/**
 * Says how batches are made: one after the other, so that what is sent first comes first,
 * as far as AWS keeps it so.
 *
 * @param limits Watches the calls.
 * @param action The action, for errors.
 * @returns Settings without the way to send them.
 */
export function batchesOf(
  limits: Limits,
  action: string,
): Omit<BatcherSettings<unknown, Failure | undefined>, "send"> {
  return {
    limits,
    count: MAX_ENTRIES,
    atOnce: 1,
    actionOf: () => action,
    late: () => notAnswered(action, "unknown", "AWS"),
  };
}
