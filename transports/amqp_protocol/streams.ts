import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { AccessRefusedError } from "../../model/errors.ts";
import type { QueueDeclaration } from "../../model/queue.ts";
import { comparing, toldBy } from "../queue_comparison.ts";
import type { Channel } from "../transport.ts";
import type { Server } from "./server.ts";

/** So many names are remembered. */
const MAX_NAMES = 1000;

/** The services that it uses of its connection. */
export interface StreamsHost {
  readonly clock: Clock;
  readonly operationTimeout: number;
  server(): Server;
  openChannel(options: CallOptions): Promise<Channel>;
}

/**
 * Which queues are streams: RabbitMQ ends the connection with all that is on it when messages
 * are to be taken from one.
 */
export class Streams {
  readonly #host: StreamsHost;
  readonly #known = new Map<string, boolean>();
  readonly #looking = new Map<string, Promise<boolean>>();

  /** Makes one that knows no queue. */
  constructor(host: StreamsHost) {
    this.#host = host;
  }

  /** A queue is declared. */
  note({ name, arguments: declared }: QueueDeclaration): void {
    this.#remember(name, declared["x-queue-type"] === "stream");
  }

  /** It is deleted. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  /** Whether a queue is a stream; `undefined`: it is to be looked at. */
  get(name: string): boolean | undefined {
    const isOwn = name === "" || name.startsWith("amq.");
    // Others that have streams may take an argument that they do not know.
    const canLook = this.#host.server().product === "RabbitMQ";
    return this.#known.get(name) ?? (isOwn || !canLook ? false : undefined);
  }

  /**
   * Looks whether a queue is a stream. Never rejects: where that cannot be told, the call that
   * it is asked for says why.
   */
  look(name: string): Promise<boolean> {
    let looking = this.#looking.get(name);
    if (looking === undefined) {
      looking = this.#look(name).catch(() => false)
        .finally(() => this.#looking.delete(name));
      this.#looking.set(name, looking);
    }
    return looking;
  }

  async #look(name: string): Promise<boolean> {
    const { clock, operationTimeout, openChannel } = this.#host;
    const call = { deadline: clock.now() + operationTimeout };
    // Not by `await using`, which the least runtimes do not know.
    const channel = await openChannel(call);
    try {
      await channel.declareQueue(comparing(name, true), call); // streams are durable
    } catch (error) {
      const told = toldBy(error);
      if (told === "stream") return true; // not remembered: another may stand there soon
      const isThere = told !== undefined && told !== "missing";
      if (isThere || error instanceof AccessRefusedError) {
        this.#remember(name, false);
      }
    } finally {
      await channel[Symbol.asyncDispose]();
    }
    return false;
  }

  #remember(name: string, isStream: boolean): void {
    if (this.#known.size >= MAX_NAMES) this.#known.clear();
    this.#known.set(name, isStream);
  }
}
