import { printable } from "../../model/foreign_text.ts";
import { ChannelError } from "../../model/errors.ts";

/** A server takes no writes for now. Nothing was done, and what is held is held still. */
export class NotNowError extends ChannelError {
  override readonly name: string = "ChannelError";
  /** The server's own words, shortened where they are long. */
  readonly reply: string;

  /** Makes one for an action, which follows `Cannot `. */
  constructor(action: string, reply: string, cause: unknown) {
    super(`Cannot ${action} now: ${reply}`, {
      cause,
      code: "channel-closed",
      outcome: "not-sent",
    });
    this.reply = printable(reply);
  }
}
