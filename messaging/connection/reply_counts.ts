/** How a connection is with requests, those that it makes and those that it serves. */
export interface RequestHealth {
  /** How many of its own requests wait for their answers. */
  readonly waiting: number;
  /** How many answers came for which nobody waited: too late, for a request that was given up, or a second time. They were dropped. */
  readonly lateReplies: number;
  /** How many answers of its handlers could not be delivered: nobody has the queue that the request named, where the broker knows. They were dropped. */
  readonly undeliveredReplies: number;
  /** How many requests came to its handlers when nobody waited for an answer any more. They were acked, and no handler was called. */
  readonly expiredRequests: number;
}

/** The counters of requests and replies, for all of a connection's life. */
export class ReplyCounts {
  late = 0;
  undelivered = 0;
  expired = 0;
}
