/**
 * Inboxes: they remember which messages were handled, so that `run(handler, { inbox })`
 * handles none twice. One in memory is here; one on Redis is `@dashi/mq/inbox_redis`; one
 * in the database of the handler, whose effect and mark commit together, is
 * `@dashi/mq/inbox_sql`; and one on a database of your own is four verbs, which a
 * {@linkcode LeasedInbox} makes an inbox of.
 *
 * @example An inbox
 * ```ts
 * import { createMemoryInbox } from "@dashi/mq/inbox";
 *
 * const inbox = createMemoryInbox({ window: 3_600_000 });
 * console.log(typeof inbox.handle); // function
 * ```
 *
 * @module
 */

export type { Inbox, InboxCall, InboxOutcome } from "./inbox.ts";
export type { Clock } from "../../async/clock.ts";
export {
  type Claim,
  type InboxClaims,
  type InboxOptions,
  LeasedInbox,
  type SharedInboxOptions,
} from "./leased_inbox.ts";
export { createMemoryInbox } from "./memory_inbox.ts";
