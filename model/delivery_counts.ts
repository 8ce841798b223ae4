/**
 * The headers in which a broker counts the deliveries of a message, from zero for one that is
 * new to its queue: a copy that is published elsewhere goes without them.
 */
export const DELIVERY_COUNTS: ReadonlySet<string> = new Set([
  "x-delivery-count",
  "x-acquired-count",
]);
