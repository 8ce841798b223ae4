import type { Call } from "../operation_options.ts";

/** How a message is to be published. */
export interface PublishCall extends Call {
  /** Whether to publish again what a lost connection left open. */
  readonly retry: boolean;
  /** Whether a queue must take it, where the caller said so, or that it need not. */
  readonly mandatory?: boolean | undefined;
}

/** A message's place among those of its producer that wait for the broker. */
export interface Place {
  /** It waits no longer. */
  leave(): void;
  /** It waits no longer when this settles, which is told on. */
  follow(published: Promise<void>): Promise<void>;
}

/** Of a message whose place is seen to elsewhere. */
export const NO_PLACE: Place = {
  leave() {},
  follow: (published) => published,
};
