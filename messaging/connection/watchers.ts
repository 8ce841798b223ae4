import { Mailbox } from "../../async/mailbox.ts";
import type { ConnectionEvent } from "./connection_state.ts";

/** The subscribers to a connection's events. */
export class Watchers {
  readonly #mailboxes = new Set<Mailbox<ConnectionEvent>>();

  /** Adds a watcher, which gets every event from now on; none if the connection has ended. */
  add(hasEnded: boolean): Mailbox<ConnectionEvent> {
    const mailbox = new Mailbox<ConnectionEvent>();
    if (hasEnded) mailbox.end();
    else this.#mailboxes.add(mailbox);
    return mailbox;
  }

  /** One hears no more. */
  remove(mailbox: Mailbox<ConnectionEvent>): void {
    this.#mailboxes.delete(mailbox);
    mailbox.end();
  }

  /** Tells all; says whether there is anybody. */
  tell(event: ConnectionEvent): boolean {
    for (const mailbox of this.#mailboxes) mailbox.put(event);
    return this.#mailboxes.size > 0;
  }

  /** Nothing more happens. */
  end(): void {
    for (const mailbox of this.#mailboxes) mailbox.end();
    this.#mailboxes.clear();
  }
}
