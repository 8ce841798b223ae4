import type { Clock } from "../../async/clock.ts";
import type { Publishing } from "../../model/message.ts";
import type { Malformed, Reservation } from "../store/store.ts";
import { type JobBody, type Statistics, timeLeft } from "./body.ts";
import type { Link } from "./link.ts";

/** A job that a link of ours holds. */
export class BeanstalkReservation implements Reservation {
  readonly queue: string;
  readonly message: Publishing | Malformed;
  readonly redelivered: boolean;
  readonly deliveryCount: number;
  readonly expired: boolean;
  readonly timeLeft: number | undefined;
  /** When its time to live is over, on the clock. */
  readonly overAt: number | undefined;
  /** beanstalkd's name for it. */
  readonly id: number;
  readonly link: Link;
  /** As it was put: it goes back with it. */
  readonly priority: number;
  /** How long beanstalkd lets us be silent about it, ms: its publisher's choice. */
  readonly timeToRun: number;
  /** When beanstalkd last began to count that, at the latest, on the clock. */
  renewedAt: number;
  /** Whether its queue was deleted meanwhile. */
  orphaned = false;
  /** Whether a settlement was sent whose answer nobody has heard. */
  unsure = false;

  /** Made by `Jobs.take`. */
  constructor(
    queue: string,
    { id, message, life, redelivered }: JobBody & { readonly id: number },
    statistics: Statistics,
    link: Link,
    clock: Clock,
  ) {
    this.queue = queue;
    this.message = message;
    const left = life && timeLeft(life, statistics.number("age"), clock.wall());
    this.expired = left !== undefined && left <= 0;
    this.timeLeft = left;
    this.overAt = left === undefined ? undefined : clock.now() + left;
    this.deliveryCount = Math.max(0, statistics.number("reserves") - 1);
    this.redelivered = redelivered || this.deliveryCount > 0;
    this.id = id;
    this.link = link;
    this.priority = statistics.number("pri");
    this.timeToRun = statistics.number("ttr") * 1000;
    this.renewedAt = clock.now();
  }

  /** The job's number. */
  get handle(): string {
    return String(this.id);
  }
}
