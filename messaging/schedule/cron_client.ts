import { Cron } from "croner";
import { OptionError } from "../../model/errors.ts";
import { errorText } from "../../model/error_text.ts";
import { quote } from "../../model/foreign_text.ts";
import type { Timing } from "./when.ts";

/**
 * Reads a cron expression.
 *
 * @param cron The expression.
 * @param timezone The time zone that it is meant in.
 * @returns Its ticks.
 * @throws {OptionError} If there is no such expression, or no such time zone.
 */
export function cronTiming(cron: string, timezone: string): Timing {
  try {
    new Intl.DateTimeFormat("en", { timeZone: timezone });
  } catch (cause) {
    throw new OptionError(
      `Cannot use ${
        quote(timezone)
      } as the option "timezone" of schedule: it must be a time zone of IANA's, such as "Europe/Berlin"`,
      { cause },
    );
  }
  let job: Cron;
  try {
    job = new Cron(cron, { timezone });
  } catch (cause) {
    throw new OptionError(
      `Cannot use ${quote(cron)} as the option "cron" of schedule: ${
        errorText(cause)
      }`,
      { cause },
    );
  }
  return {
    after: (moment) => job.nextRun(new Date(moment))?.getTime(),
    // The package leaves out the moment itself.
    before: (moment, most) =>
      job.previousRuns(most, new Date(moment + 1))
        .map((date) => date.getTime()).reverse(),
  };
}
