import type { FieldTable } from "../../model/field_table.ts";
import type { Delivery } from "../../model/message.ts";

/** The argument of a consumer that says where in a stream it begins, and the header of a message that says where that stands. */
const OFFSET = "x-stream-offset";

/** How far a consumer has come in one stream of RabbitMQ. */
export class StreamPosition {
  /** The offsets of what the user has in hand. */
  readonly #open = new Set<number>();
  #last: number | undefined;

  /** The user has taken a message. */
  take({ properties }: Delivery): void {
    const offset = Number(properties.headers?.[OFFSET]);
    if (Number.isSafeInteger(offset)) this.#open.add(offset);
  }

  /** The user has settled it. */
  settle({ properties }: Delivery): void {
    const offset = Number(properties.headers?.[OFFSET]);
    if (!this.#open.delete(offset)) return;
    this.#last = Math.max(this.#last ?? offset, offset);
  }

  /** The offset to go on with: the first that is not settled. */
  get next(): number | undefined {
    let next = this.#last === undefined ? undefined : this.#last + 1;
    for (const offset of this.#open) next = Math.min(next ?? offset, offset);
    return next;
  }

  /** It consumes again: unsettled messages are delivered anew. */
  restart(): void {
    this.#open.clear();
  }
}

/**
 * How far a consumer has come in its streams: RabbitMQ keeps no place for it, and would
 * begin anew after each reconnect where the argument `x-stream-offset` says.
 */
export class StreamPositions {
  readonly #positions = new Map<string, StreamPosition>();
  readonly #arguments: FieldTable | undefined;
  /** Whether all that is consumed are streams, as the arguments say. */
  readonly #all: boolean;
  /** The names of queues that are streams by how they are declared. */
  readonly #streams: ReadonlySet<string>;

  /** Makes those of a consumer with these arguments: of all of its queues with `x-stream-offset`, else of those that are known to be streams. */
  constructor(
    arguments_: FieldTable | undefined,
    streams: Iterable<string> = [],
  ) {
    this.#arguments = arguments_;
    this.#all = arguments_?.[OFFSET] !== undefined;
    this.#streams = new Set(streams);
  }

  /** That of one queue. */
  of(queue: string): StreamPosition | undefined {
    if (!this.#all && !this.#streams.has(queue)) return undefined;
    const position = this.#positions.get(queue) ?? new StreamPosition();
    this.#positions.set(queue, position);
    return position;
  }

  /** The arguments to consume with, from where it was. */
  argumentsFor(queue: string): FieldTable | undefined {
    const position = this.of(queue);
    const next = position?.next;
    position?.restart();
    return next === undefined
      ? this.#arguments
      : { ...this.#arguments, [OFFSET]: next };
  }
}
