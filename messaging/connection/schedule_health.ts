/** How a connection is with schedules. */
export interface ScheduleHealth {
  /** In how many tables of schedules it takes part. */
  readonly taking: number;
  /** How many schedules it holds now: it publishes their ticks, until another process does. */
  readonly held: number;
  /** How many ticks it has published. */
  readonly published: number;
  /** How often it could not publish a tick, and tried again. */
  readonly failures: number;
}
