import type { Delivery } from "../../model/message.ts";
import type { Publishing } from "../../model/message.ts";
import type { Entity } from "../entities/entities.ts";
import type { PublishCall } from "../publish/publish_call.ts";

/** A request that waits for its answer. */
export class Pending {
  readonly answer: Promise<Delivery>;
  readonly resolve: (answer: Delivery) => void;
  readonly reject: (error: unknown) => void;
  /** The request, but for where its answer goes, and how long it may wait. */
  message: Publishing;
  readonly call: PublishCall;
  readonly entities: readonly Entity[];
  /** The lane that its answer comes by. */
  lane: Lane | undefined;
  /** Told when the broker has it, where a middleware waits for that. */
  confirming: PromiseWithResolvers<void> | undefined;
  /** Whether the broker has it. */
  isSent = false;
  /** Whether it ever had it, or may have had. */
  wasSent = false;
  /** Whether nobody waits any more. */
  hasEnded = false;
  /** Whether it may have ended the channel that it was on: it goes where no other suffers for it. */
  isSuspect = false;

  /** Makes one that is yet to be published. */
  constructor(
    message: Publishing,
    call: PublishCall,
    entities: readonly Entity[],
  ) {
    const { promise, resolve, reject } = Promise.withResolvers<Delivery>();
    promise.catch(() => {});
    this.answer = promise;
    this.resolve = resolve;
    this.reject = reject;
    this.message = message;
    this.call = call;
    this.entities = entities;
  }

  /** Whether its server may have it: that may be so before the broker has confirmed it. */
  get mayBeSent(): boolean {
    return this.wasSent || this.lane !== undefined;
  }

  /** How far it has come, in words. */
  get progress(): string {
    if (this.wasSent) {
      return "the request is published, and nobody has answered: is a consumer at work there that serves?";
    }
    return this.mayBeSent
      ? "the broker has not confirmed the request yet"
      : "the broker has not taken the request yet";
  }
}

/** A way for answers to come, for as long as a connection lasts. */
export interface Lane {
  /** The requests whose answers come by it. */
  readonly waiting: Set<Pending>;
  /** Whether no answer comes by it any more. */
  isLost: boolean;
}
