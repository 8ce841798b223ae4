/** When a schedule ticks. */
export type When =
  | {
    /** A cron expression as the package `croner` reads it: of five fields, of six that begin with the seconds, or of seven that end with the year, too. */
    readonly cron: string;
    /** The time zone of the expression, by IANA's name. @default {"UTC"} */
    readonly timezone?: string | undefined;
    readonly every?: undefined;
  }
  | {
    /** The time from tick to tick, ms: a whole number from 1000 to 31,622,400,000, counted from 1970, so that 3,600,000 is each full hour of UTC. */
    readonly every: number;
    readonly cron?: undefined;
    readonly timezone?: undefined;
  };

/** The ticks of a schedule. Moments are milliseconds since 1970, by the calendar. */
export interface Timing {
  /** The first tick after a moment; `undefined` if there is none. */
  after(moment: number): number | undefined;
  /** The last ticks up to a moment, that included: so many at most, in order. */
  before(moment: number, most: number): readonly number[];
}

/** The fate of ticks that nobody published in time. */
export type Missed = "skip" | "one" | "all";
