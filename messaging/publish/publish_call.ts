import type { Line } from "../../async/line.ts";
import type { Publishing } from "../../model/message.ts";
import type { PublishOutcome } from "../../transports/transport.ts";
import type { Message } from "../consume/message_type.ts";
import { late, lateToPublish } from "../connection/session_errors.ts";
import type { Call } from "../operation_options.ts";

/** A message, or a step that makes it when its needs are met: it declares entities, and loads codecs. */
export type Publishable = Publishing | (() => Promise<Publishing>);

/** How a message is to be published. */
export interface PublishCall extends Call {
  /** Whether to publish again what a lost connection left open. */
  readonly retry: boolean;
  /** Whether a queue must take it, where the caller said so, or that it need not. */
  readonly mandatory?: boolean | undefined;
  /** Takes the broker's word on whether the message was a duplicate. */
  readonly confirmation?: Confirmation | undefined;
  /** The request that it answers. */
  readonly request?: Message<unknown> | undefined;
  /** What a message in line waits for before it is made, for an error. @default {"what it needs is not declared yet"} */
  readonly obstacle?: string | undefined;
}

/** The call of a message that has waited for something, or may: its limits are looked at again. */
export function waited(call: PublishCall): PublishCall {
  return call.fresh ? { ...call, fresh: false } : call;
}

/** The broker's word on a message that is published once. */
export interface Confirmation {
  /** Whether another has left its mark; `undefined` where the broker does not tell. */
  duplicate: boolean | undefined;
}

/** Publishes messages for one user. */
export interface MessagePublisher {
  /** Publishes a message, and resolves when the broker has answered for it. */
  publish(
    message: Publishable,
    call: PublishCall,
    place: OrderedPlace,
  ): Promise<void>;
}

/** A message's place among those of its producer that wait for the broker. */
export interface Place {
  /** It waits no longer. */
  leave(): void;
  /** It waits no longer when this settles, which is told on. */
  follow(published: Promise<void>): Promise<void>;
}

/** The place of a message, and the order in which its producer's messages are published. */
export interface OrderedPlace extends Place {
  /** Messages that must wait for something, in order: no later one overtakes them. */
  readonly line: Line;
}

/**
 * Notes where the broker says that a message is a duplicate.
 *
 * @param outcome The broker's answer.
 * @param call The call that published it.
 */
export function noteDuplicate(
  { type }: PublishOutcome,
  { confirmation }: PublishCall,
): void {
  if (type === "duplicate" && confirmation) confirmation.duplicate = true;
}

/** Of a message whose place is seen to elsewhere. */
export const NO_PLACE: Place = {
  leave() {},
  follow: (published) => published,
};

/** How far a message in line has come. */
export interface Progress {
  /** Whether its entities are declared and its codecs loaded. */
  made: boolean;
  /** Whether it may have left. */
  sent: boolean;
}

/**
 * The error of a message whose deadline passed while it waited in line.
 *
 * @param progress How far it has come.
 * @param call The call that publishes it.
 * @param problem The reason why there is no connection, if there is none.
 * @returns The error, which says what it waited for.
 */
export function lateAt(
  { made, sent }: Progress,
  { obstacle = "what it needs is not declared yet" }: PublishCall,
  problem: Error | undefined,
): Error {
  return made ? late(sent, problem) : lateToPublish(obstacle, false, problem);
}
