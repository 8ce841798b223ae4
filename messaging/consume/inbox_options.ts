import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Inbox } from "../inbox/inbox.ts";
import type { Message } from "./message.ts";

/**
 * Refuses what is no inbox.
 *
 * @typeParam T The type of the messages' `payload`.
 * @param options The options of the run.
 * @throws {OptionError} If it is something else, or a key has no inbox.
 */
export function checkInbox<T>(
  { inbox, inboxKey }: {
    readonly inbox?: Inbox | undefined;
    readonly inboxKey?: ((message: Message<T>) => string) | undefined;
  },
): void {
  if (inbox === undefined) {
    if (inboxKey === undefined) return;
    throw new OptionError(
      'Cannot use "inboxKey" of run without "inbox": give an inbox, such as createMemoryInbox({ window }) of "@dashi/mq/inbox"',
    );
  }
  if (typeof inbox?.handle === "function") return;
  throw new OptionError(
    `Cannot use ${
      quote(inbox)
    } as "inbox" of run: it must have "handle", as that of createMemoryInbox({ window }) of "@dashi/mq/inbox"`,
  );
}

/**
 * Refuses an inbox that has a transaction for each message of a batch.
 *
 * @param inbox The inbox of the options.
 * @throws {OptionError} If it is one.
 */
export function checkBatchInbox(inbox: Inbox | undefined): void {
  if (inbox?.holdsTransactions !== true) return;
  throw new OptionError(
    'Cannot use this inbox for runBatches: it holds a transaction for each message, and those of a batch would wait for each other; use "run"',
  );
}
