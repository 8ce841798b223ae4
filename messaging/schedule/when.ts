/** When a schedule ticks. */
export type When =
  | {
    /** A cron expression of five fields, or of six that begin with the seconds, as the package `croner` reads it. */
    readonly cron: string;
    /** The time zone that it is meant in: IANA's name of it. @default {"UTC"} */
    readonly timezone?: string | undefined;
    readonly every?: undefined;
  }
  | {
    /** Milliseconds from tick to tick, 1000 or more, counted from 1970: every hour is each full hour of UTC. */
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
