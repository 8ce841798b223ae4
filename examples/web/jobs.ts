/** What the server and its worker share: the queue, and the form of its jobs. */

import { Queue } from "@dashi/mq";

/** A picture that a user wants smaller. */
export interface Job {
  readonly picture: string;
  readonly width: number;
}

/** The queue between the two; a job that fails five times is in `pictures.dead`. */
export const pictures: Queue<Job> = new Queue<Job>("pictures", {
  deadLetter: "pictures.dead",
});
