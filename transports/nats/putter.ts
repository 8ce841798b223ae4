import { PublishError } from "../../model/errors.ts";
import type { NatsContext } from "./context.ts";
import type { Tables } from "../records/tables.ts";
import { EnvelopeWriter } from "../store/envelope.ts";
import type { Handles } from "../store/put_once.ts";
import type { StoreItem } from "../store/store.ts";
import { answerOf, type NatsMessage } from "./answers.ts";
import type { NatsClient } from "./client.ts";
import { isElecting, pastElections } from "./elections.ts";
import { CODES, isOf } from "./errors.ts";
import { HEADER_ROOM, ttlHead, writeMessage, type Written } from "./message.ts";
import { tokenOf } from "./names.ts";
import type { Queues } from "./queues.ts";

/** The header of the id by which a stream knows a copy that it has. */
const ID = "Nats-Msg-Id: ";

/** Puts messages: each copy is published to the subject of its queue, and JetStream confirms it. */
export class Putter {
  readonly #client: NatsClient;
  readonly #queues: Queues;
  readonly #tables: Tables;
  readonly #noteExpiry: (queue: string, ttl: number) => void;
  readonly #writer = new EnvelopeWriter();

  /** Makes one, that tells of messages that expire in so many ms. */
  constructor(
    { client }: NatsContext,
    queues: Queues,
    tables: Tables,
    noteExpiry: (queue: string, ttl: number) => void,
  ) {
    this.#client = client;
    this.#queues = queues;
    this.#tables = tables;
    this.#noteExpiry = noteExpiry;
  }

  /** Puts copies of a message, and returns their numbers, 0 for a queue that is not there any more; `handles` are the ids by which a stream knows a copy that it has. */
  async put(
    items: readonly StoreItem[],
    handles: Handles = [],
  ): Promise<readonly number[]> {
    const [first] = items;
    if (first === undefined) return [];
    const written = writeMessage(this.#writer, first.message);
    const { maxPayload } = this.#client;
    const size = written.body.byteLength + 3 * written.head.length;
    if (size > maxPayload - HEADER_ROOM) this.#checkSize(written);
    if (items.length === 1) return [await this.#put(first, written, handles)];
    return await Promise.all(
      items.map((each) => this.#put(each, written, handles)),
    );
  }

  /** The bytes of its headers are counted where it may matter alone. */
  #checkSize({ head, body }: Written): void {
    const { maxPayload } = this.#client;
    const size = new TextEncoder().encode(head).byteLength + body.byteLength;
    const most = maxPayload - 512;
    if (size <= most) return;
    throw new PublishError(
      `Cannot publish a message of ${size} bytes, its headers included: the server takes ${most} at most (max_payload)`,
      { code: "message-too-large", outcome: "not-sent" },
    );
  }

  async #put(
    item: StoreItem,
    { head, body }: Written,
    handles: Handles,
  ): Promise<number> {
    const queues = this.#queues;
    const { queue, message, ttl } = item;
    const { ready, delayed } = queues.names(queue);
    const handle = handles.find(([name]) => name === queue)?.[1];
    // The server's own time to live is whole seconds; it takes away what nobody looks at.
    const goes = ttl !== undefined && !this.#tables.traits(queue).deadLetters;
    const seconds = Math.ceil((ttl ?? 0) / 1000) + 1;
    let lines = head + ttlHead(ttl);
    let subject = ready;
    if (message.delay > 0) {
      const due = new Date(Math.ceil(this.#client.now(true) + message.delay));
      const name = tokenOf(message.properties.messageId || "-");
      subject = `${delayed}.${name}.${crypto.randomUUID()}`;
      lines += `Nats-Schedule: @at ${due.toISOString()}\r\n` +
        `Nats-Schedule-Target: ${ready}\r\n`;
      if (goes) lines += `Nats-Schedule-TTL: ${seconds}s\r\n`;
    } else if (goes) lines += `Nats-TTL: ${seconds}s\r\n`;
    if (handle !== undefined) lines += `${ID}${handle}\r\n`;
    let isGone = false;
    const mayPass = async (error: unknown) => {
      if (!isOf(error, CODES.noResponders)) return isElecting(error);
      // No stream takes it: the queue was declared just now, or deleted, or a cluster elects.
      queues.forget(queue);
      isGone = await queues.find(queue) === undefined;
      return !isGone;
    };
    try {
      const sequence = await this.publish(subject, body, lines, mayPass);
      if (ttl !== undefined) this.#noteExpiry(queue, message.delay + ttl);
      return sequence;
    } catch (error) {
      if (isGone) return 0;
      throw error;
    }
  }

  /** Publishes to a stream; returns the number of the message there. `mayPass` is that of {@linkcode pastElections}. */
  publish(
    subject: string,
    body: Uint8Array,
    head: string,
    mayPass?: (error: unknown) => boolean | Promise<boolean>,
  ): Promise<number> {
    const client = this.#client;
    // What is asked again is put once.
    const isNamed = !client.isRelayed || head.includes(ID);
    const lines = isNamed ? head : `${head}${ID}${crypto.randomUUID()}\r\n`;
    return pastElections(
      client,
      () => client.request(subject, body, lines).then(sequenceOf),
      mayPass,
    );
  }
}

function sequenceOf(message: NatsMessage): number {
  return Number(answerOf(message).seq);
}
