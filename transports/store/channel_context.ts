import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { DeadLetters } from "./dead_letters.ts";
import type { Declarer } from "./declarer.ts";
import type { Leftovers } from "./leftovers.ts";
import type { StoreWithTopology } from "./local_topology.ts";
import type { Loop } from "./loop.ts";
import type { Parking } from "./parking.ts";
import type { Publisher } from "./publisher.ts";
import type { Quarantine } from "./quarantine.ts";
import type { ReplyQueues } from "./reply_queues.ts";
import type { Ripener } from "./ripener.ts";

/** The services and settings that a channel has from its connection. @typeParam C The channel. */
export interface ChannelContext<C> {
  readonly store: StoreWithTopology;
  readonly clock: Clock;
  readonly limits: Limits;
  readonly owner: string;
  readonly operationTimeout: number;
  readonly publisher: Publisher;
  readonly declarer: Declarer;
  readonly deadLetters: DeadLetters;
  readonly parking: Parking;
  readonly quarantine: Quarantine;
  readonly leftovers: Leftovers;
  readonly replies: ReplyQueues | undefined;
  readonly ripener: Ripener;
  /** The tags in the tables of the consumers that the connection has, on all its channels. */
  readonly consumerTags: Set<string>;
  /** The loop that takes, or will take, messages of a queue. */
  loopFor(queue: string): Loop;
  /** The channel has ended. */
  forget(channel: C): void;
}
