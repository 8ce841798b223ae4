import type { CallOptions } from "../../model/call_options.ts";
import { ChannelError, MessagingError } from "../../model/errors.ts";
import type { QueueStatus } from "../../model/queue.ts";
import type { Channel } from "../../transports/transport.ts";
import type { Declarations, Entity } from "./declarations.ts";
import { exchangesOf } from "../entities/entities.ts";
import { Exchange } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { isRetryable } from "./retry.ts";

/** So many declares are on their way at once: a distant broker costs a round trip for all of them. */
const WIDTH = 100;

/** So many are declared in one piece: other calls have their turn between two. */
const PIECE = 500;

/** The channels that {@linkcode declareMany} uses, and its ways. */
export interface DeclareManyOptions {
  readonly declarations: Declarations;
  /** Runs calls on a channel that is replaced where one has ended it. */
  readonly run: (
    action: (channel: Channel) => Promise<unknown>,
  ) => Promise<unknown>;
  /** Makes the limits of one entity, when its turn comes. */
  readonly call: () => CallOptions;
  /** How many at once. @default {100} */
  readonly width?: number | undefined;
  /** Whether the first that fails ends it all. @default {false} */
  readonly stops?: boolean | undefined;
  /** Called with the status of each queue that is declared. */
  readonly onQueue?: ((queue: Queue, status: QueueStatus) => void) | undefined;
}

/** An entity that could not be declared, and the reason. */
export interface Undeclared {
  readonly entity: Entity;
  readonly error: Error;
}

/**
 * Declares many entities at once: first the exchanges, with those that others need, then
 * what binds these, then the queues with their bindings. One that fails holds up no other,
 * unless it is to end all.
 *
 * @param entities The entities.
 * @param options The channel, and the limits.
 * @returns The entities that the broker refused, or did not answer for in time.
 * @throws The error of a lost connection; with `stops` that of the first entity that failed.
 */
export async function declareMany(
  entities: readonly Entity[],
  options: DeclareManyOptions,
): Promise<readonly Undeclared[]> {
  const { declarations, onQueue } = options;
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
  await wave.run(queues, async (queue, channel, call) => {
    const status = await declarations.declareQueue(queue, channel, call);
    onQueue?.(queue, status);
  });
  for (const exchange of exchanges) {
    if (wave.failed.has(exchange)) continue;
    if (declarations.knows(exchange)) declarations.noteDeclared(exchange);
    else declarations.noteThere(exchange);
  }
  return [...wave.failed].map(([entity, error]) => ({ entity, error }));
}

/**
 * Splits what is to be declared into pieces that are declared in order: the exchanges, then
 * queues with the queues of their dead letters that are not declared yet.
 *
 * @param entities The entities.
 * @param declarations The entities that are declared already.
 * @returns The pieces.
 */
export function declarePieces(
  entities: readonly Entity[],
  declarations: Declarations,
): readonly Entity[][] {
  const exchanges = new Set<Entity>();
  const queues = new Set<Entity>();
  const add = (queue: Queue) => {
    const { deadLetter } = queue;
    if (deadLetter !== undefined && !declarations.has(deadLetter)) {
      add(deadLetter);
    }
    queues.add(queue);
  };
  for (const entity of entities) {
    if (entity instanceof Queue) add(entity);
    else exchanges.add(entity);
  }
  const pieces = exchanges.size > 0 ? [[...exchanges]] : [];
  const all = [...queues];
  for (let i = 0; i < all.length; i += PIECE) {
    pieces.push(all.slice(i, i + PIECE));
  }
  return pieces;
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
  readonly #options: DeclareManyOptions;
  readonly failed = new Map<Entity, Error>();

  constructor(options: DeclareManyOptions) {
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
      if (this.#isOver) {
        throw this.failed.get(list.find((each) => this.failed.has(each)) as E);
      }
      // With none that is done, and none at fault, it would go on for ever.
      if (round.rest.length === rest.length) throw round.error;
      rest = round.rest;
    }
  }

  get #isOver(): boolean {
    return this.#options.stops === true && this.failed.size > 0;
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
        // On AMQP what fails has ended the channel, with all that is behind it.
        if (
          !(error instanceof MessagingError) || error instanceof ChannelError ||
          error.code === "timed-out"
        ) ended ??= error;
        if (!(error instanceof MessagingError)) throw error;
        if (isRetryable(error)) {
          if (!(error instanceof ChannelError)) throw error;
          rest.push(each);
        } else this.failed.set(each, error);
      }
    };
    const work = async (channel: Channel) => {
      for (;;) {
        const isEnd = ended !== undefined || this.#isOver;
        const each = isEnd ? undefined : waiting.pop();
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
      if (error !== ended || !(error instanceof MessagingError)) throw error;
    }
    return { rest: [...rest, ...waiting.reverse()], error: ended };
  }
}
