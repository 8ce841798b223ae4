import type { Tables } from "../records/tables.ts";
import type { NatsContext } from "./context.ts";
import { keyOf } from "./keys.ts";
import type { Bucket } from "./records.ts";
import type { Settlements } from "./settlements.ts";

/** How long other connections are waited for, ms: one that has died answers nothing. */
const PATIENCE = 500;

/** Who is alive: a key of each connection, which the server removes when it was not heard of. */
export class Presence {
  readonly #context: NatsContext;
  readonly #bucket: Bucket;
  readonly #tables: Tables;
  readonly #key: string;
  /** Where connections ask each other what they hold. */
  readonly #subject: string;
  #sequence: number | undefined;
  /** Whether the last sign of life was not kept: then those of others were not, either. */
  #hasFailed = false;

  /** Makes that of a connection, which answers from now on. */
  constructor(
    context: NatsContext,
    bucket: Bucket,
    tables: Tables,
    settlements: Settlements,
  ) {
    const { client, settings: { prefix }, owner } = this.#context = context;
    this.#bucket = bucket;
    this.#tables = tables;
    this.#key = `owner.${keyOf(owner)}.${crypto.randomUUID()}`;
    this.#subject = `_dashi.${prefix}.held`;
    client.listen(this.#subject, ({ data, reply }) => {
      const queue = new TextDecoder().decode(data);
      const numbers = [...settlements.sequences(queue)].join(",");
      client.publish(reply ?? "_", numbers);
    });
  }

  /** Says that the connection is alive for `ttl` ms more; returns those who own something and are not. */
  async beat(ttl: number): Promise<readonly string[]> {
    const seconds = Math.max(1, Math.ceil(ttl / 1000));
    const hadFailed = this.#hasFailed;
    this.#hasFailed = true;
    this.#sequence = await this.#bucket.put(this.#key, {}, undefined, seconds);
    this.#hasFailed = false;
    // As after a time without room: the others get one more turn to say that they live.
    if (hadFailed) return [];
    const owners = new Set<string>();
    for (const queue of this.#tables.view.topology.queues()) {
      if (queue.owner !== undefined) owners.add(queue.owner);
      for (const consumer of queue.consumers) owners.add(consumer.owner);
    }
    if (owners.size === 0) return [];
    const keys = await this.#bucket.keys("owner.*.*");
    const alive = new Set(keys.map((key) => key.split(".")[1]));
    // In a bucket that is new others may not have said it yet.
    if (this.#bucket.age < ttl) return [];
    return [...owners].filter((each) => !alive.has(keyOf(each)));
  }

  /** Asks all connections which messages of a queue they hold: the numbers. */
  async held(queue: string): Promise<ReadonlySet<string>> {
    const { client, clock } = this.#context;
    const numbers = new Set<string>();
    let left = (await this.#bucket.keys("owner.*.*")).length;
    await new Promise<void>((resolve) => {
      const inbox = client.inbox();
      const done = () => {
        stop();
        answers.unsubscribe();
        resolve();
      };
      const stop = clock.timer(done, PATIENCE);
      const answers = client.subscribe(inbox, ({ data }) => {
        for (const each of new TextDecoder().decode(data).split(",")) {
          numbers.add(each);
        }
        if (--left <= 0) done();
      });
      client.publish(this.#subject, queue, inbox);
    });
    numbers.delete("");
    return numbers;
  }

  /** Says that the connection has ended. */
  async leave(): Promise<void> {
    if (this.#sequence === undefined) return;
    await this.#bucket.remove(this.#sequence);
  }
}
