import type { CallOptions } from "../../model/call_options.ts";
import {
  ConnectionError,
  type Outcome,
  PublishError,
} from "../../model/errors.ts";
import { PUT, type PutResult, type StoreItem } from "../store/store.ts";
import { BodyWriter, jobPriority, type Life, wholeSeconds } from "./body.ts";
import { BeanstalkClient, type Reply } from "./client.ts";
import type { Link, LinkContext } from "./link.ts";
import type { Tubes } from "./tubes.ts";

/** The services that a putter uses of its store. */
export interface PutterHost {
  readonly context: LinkContext;
  readonly tubes: Tubes;
  /** The socket for everything that does not wait. */
  readonly link: Link;
  /** The largest job, bytes. */
  readonly itemBytes: number;
  /** A queue's `x-max-priority`, as this connection declared it. */
  maxPriority(queue: string): number | undefined;
  /** A message of a queue that dead-letters will have expired in so many ms. */
  expires(queue: string, ttl: number): void;
}

/** Puts messages into tubes. */
export class Putter {
  readonly #host: PutterHost;
  readonly #bodies = new BodyWriter();

  /** Makes one for a store's socket. */
  constructor(host: PutterHost) {
    this.#host = host;
  }

  /** Puts the copies of a message, in one write. */
  put(items: readonly StoreItem[], options?: CallOptions): Promise<PutResult> {
    const { link, tubes } = this.#host;
    const puts: string[] = [];
    let shared: string | undefined;
    for (const item of items) {
      const body = item.ttl === undefined
        ? shared ??= this.#bodies.write(item.message, undefined)
        : this.#bodies.write(item.message, this.#lifeOf(item));
      puts.push(this.#putCommand(item, body));
    }
    // Nothing below can fail, so the tube that `use` is recorded with is the tube in use.
    let text = "";
    let count = 0;
    for (let i = 0; i < items.length; i++) {
      const use = link.use(tubes.of(items[i]?.queue ?? ""));
      text += use.text + puts[i];
      count += use.count + 1;
    }
    const queue = items[0]?.queue ?? "";
    const action = `put a message into queue "${queue}"`;
    const { deadline } = options ?? {};
    return link.call({ text, count }, { deadline, action }).then(
      (replies) => {
        for (const { word } of replies) {
          if (word !== "INSERTED" && word !== "USING") {
            throw this.#refused(action, word, replies);
          }
        }
        return PUT;
      },
    );
  }

  #putCommand({ queue, message, ttl }: StoreItem, body: string): string {
    const bytes = BeanstalkClient.byteLength(body);
    if (bytes > this.#host.itemBytes) {
      throw tooLarge(queue, bytes, this.#host.itemBytes);
    }
    const { delay, properties } = message;
    this.#host.tubes.of(queue); // throws where there can be none
    const priority = jobPriority(
      properties.priority,
      this.#host.maxPriority(queue),
    );
    if (ttl !== undefined) this.#host.expires(queue, delay + ttl);
    const timeToRun = wholeSeconds(this.#host.context.settings.timeToRun);
    return `put ${priority} ${
      wholeSeconds(delay)
    } ${timeToRun} ${bytes}\r\n${body}\r\n`;
  }

  /** A server that is drained takes nothing more: where there is another the connection goes on there. */
  #refused(action: string, word: string, replies: readonly Reply[]): Error {
    const { context } = this.#host;
    // Of several copies some may have been taken.
    const outcome = replies.some(({ word }) => word === "INSERTED")
      ? "unknown"
      : "not-sent";
    if (word !== "DRAINING" || !context.hasOthers) {
      return refused(action, word, outcome);
    }
    const error = new ConnectionError(
      `Cannot ${action}: "${context.broker}" is drained before it is stopped`,
      { code: "connection-lost", outcome },
    );
    context.lifeline.lose(error);
    return error;
  }

  /** The time of a delayed message begins when it is due: in whole seconds. */
  #lifeOf({ message, ttl = 0 }: StoreItem): Life {
    const delay = wholeSeconds(message.delay) * 1000;
    return {
      duration: delay + ttl,
      putAt: this.#host.context.clock.wall(),
    };
  }
}

function tooLarge(queue: string, bytes: number, most: number): PublishError {
  return new PublishError(
    `Cannot put a message into queue "${queue}": as a job it has ${bytes} bytes, the server takes ${most} at most; start it with a larger -z`,
    { code: "message-too-large" },
  );
}

function refused(
  action: string,
  word: string,
  outcome: Outcome,
): PublishError {
  const large = word === "JOB_TOO_BIG";
  return new PublishError(`Cannot ${action}: beanstalkd answered ${word}`, {
    code: large ? "message-too-large" : "publish-refused",
    // Out of memory, or draining before it is stopped: another may take it.
    retryable: !large,
    outcome,
  });
}
