import type { CallOptions } from "../../model/call_options.ts";
import { ChannelError, MessagingError } from "../../model/errors.ts";
import type { Channel } from "../../transports/transport.ts";
import type { Declarations, Entity } from "./declarations.ts";
import { exchangesOf } from "../entities/entities.ts";
import { Exchange } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { isRetryable } from "./retry.ts";

/** So many declares are on their way at once: a distant broker costs a round trip for all of them. */
const WIDTH = 32;

/** The entities and the channels that {@linkcode declareAgain} uses. */
export interface RedeclareOptions {
  readonly declarations: Declarations;
  /** The entities to declare. */
  readonly entities: readonly Entity[];
  /** Runs calls on a channel that is replaced where one has ended it. */
  readonly run: (
    action: (channel: Channel) => Promise<unknown>,
  ) => Promise<unknown>;
  /** Makes the limits of one entity, when its turn comes. */
  readonly call: () => CallOptions;
  /** How many at once. @default {32} */
  readonly width?: number | undefined;
}

/** An entity that could not be declared, and the reason. */
export interface Undeclared {
  readonly entity: Entity;
  readonly error: Error;
}

/**
 * Declares again what a session has declared: many at once, first the exchanges, then
 * what binds them, then the queues. One that fails holds up no other.
 *
 * @param options The entities, and the channel.
 * @returns The entities that the broker refused, or did not answer for in time.
 * @throws The error of a lost connection.
 */
export async function declareAgain(
  options: RedeclareOptions,
): Promise<readonly Undeclared[]> {
  const { declarations, entities } = options;
  const exchanges = new Set<Exchange>();
  const queues: Queue[] = [];
  for (const entity of entities) {
    exchangesOf(entity, exchanges);
    if (entity instanceof Queue) queues.push(entity);
  }
  const wave = new Wave(options);
  for (const level of levels(exchanges)) {
    await wave.run(level, (each, channel, call) => {
      return declarations.declareExchange(each, channel, call);
    });
  }
  const bound = [...exchanges].filter((each) => each.bindings.length > 0);
  await wave.run(bound, (each, channel, call) => {
    return declarations.bindAll(each, channel, call);
  });
  await wave.run(queues, (queue, channel, call) => {
    return declarations.declareQueue(queue, channel, call);
  });
  for (const exchange of exchanges) {
    if (wave.failed.has(exchange)) continue;
    if (declarations.knows(exchange)) declarations.noteDeclared(exchange);
    else declarations.noteThere(exchange);
  }
  return [...wave.failed].map(([entity, error]) => ({ entity, error }));
}

/** Sorts exchanges into levels: an alternate exchange comes before those that name it. */
function levels(exchanges: ReadonlySet<Exchange>): readonly Exchange[][] {
  const named = [...exchanges].filter(({ alternateExchange }) =>
    alternateExchange instanceof Exchange
  );
  const plain = [...exchanges].filter((each) => !named.includes(each));
  return [plain, ...named.map((each) => [each])];
}

/** Many declares at once, and what became of them. */
class Wave {
  readonly #options: RedeclareOptions;
  readonly failed = new Map<Entity, Error>();

  constructor(options: RedeclareOptions) {
    this.#options = options;
  }

  /** Declares each of a list; what another one's failure has cut short is done again. */
  async run<E extends Entity>(
    list: readonly E[],
    declare: (each: E, channel: Channel, call: CallOptions) => Promise<unknown>,
  ): Promise<void> {
    let rest = list.filter((each) => !this.failed.has(each));
    while (rest.length > 0) {
      const round = await this.#round(rest, declare);
      // With none that is done, and none at fault, it would go on for ever.
      if (round.rest.length === rest.length) throw round.error;
      rest = round.rest;
    }
  }

  async #round<E extends Entity>(
    list: readonly E[],
    declare: (each: E, channel: Channel, call: CallOptions) => Promise<unknown>,
  ): Promise<{ readonly rest: E[]; readonly error: unknown }> {
    const { run, call, width = WIDTH } = this.#options;
    const rest: E[] = [];
    let ended: unknown;
    const waiting = [...list].reverse();
    const declareOne = async (each: E, channel: Channel) => {
      try {
        await declare(each, channel, call());
      } catch (error) {
        if (!(error instanceof MessagingError)) throw error;
        // On AMQP what fails has ended the channel, with all that is behind it.
        if (error instanceof ChannelError || error.code === "timed-out") {
          ended ??= error;
        }
        if (isRetryable(error)) {
          if (!(error instanceof ChannelError)) throw error;
          rest.push(each);
        } else this.failed.set(each, error);
      }
    };
    const work = async (channel: Channel) => {
      for (;;) {
        const each = ended === undefined ? waiting.pop() : undefined;
        if (each === undefined) return;
        await declareOne(each, channel);
      }
    };
    try {
      await run(async (channel) => {
        const workers = Array.from({ length: width }, () => work(channel));
        const ends = await Promise.allSettled(workers);
        for (const end of ends) {
          if (end.status === "rejected") throw end.reason;
        }
        // So that the next round gets a channel that lives.
        if (ended instanceof ChannelError) throw ended;
      });
    } catch (error) {
      if (error !== ended) throw error;
    }
    return { rest: [...rest, ...waiting.reverse()], error: ended };
  }
}
