import type { CallOptions } from "../../model/call_options.ts";
import { planDeleteQueue } from "../../virtual/declare.ts";
import type { TopologyView } from "../store/store.ts";
import type { Context } from "./context.ts";
import { recordId } from "./records.ts";
import type { MongodbTables } from "./tables.ts";

/** Queues that go when nobody has used them for their time: `x-expires`. */
export class Usage {
  readonly #context: Context;
  readonly #tables: MongodbTables;

  /** Makes it for one connection. */
  constructor(context: Context, tables: MongodbTables) {
    this.#context = context;
    this.#tables = tables;
  }

  /** Uses a queue: it goes if it is too late for that, and lives on if not. */
  async use(
    queue: string,
    view: TopologyView,
    options?: CallOptions,
  ): Promise<TopologyView> {
    const expires = this.#expiresOf(queue);
    if (expires === undefined) return view;
    const { client, settings: { names } } = this.#context;
    const now = await this.#context.freshNow();
    const { matched } = await this.#context.call(
      `use queue "${queue}"`,
      options,
      () =>
        client.update(names.topology, [{
          filter: {
            _id: recordId("queue", queue),
            $or: [
              { expires_at: { $gt: new Date(now) } },
              { "consumers.0": { $exists: true } },
            ],
          },
          update: { $set: { expires_at: new Date(now + expires) } },
        }], { safe: true }),
    );
    if (matched > 0) return view;
    await this.#drop(queue, options);
    return await this.#tables.read({ type: "queue", name: queue }, options);
  }

  /** Drops those of these queues that nobody has used for their time; returns which. */
  async dropOver(queues: ReadonlySet<string>): Promise<ReadonlySet<string>> {
    const { client, settings: { names } } = this.#context;
    const found = await this.#context.call(
      "look at queues",
      undefined,
      () =>
        client.find(names.topology, {
          _id: { $in: [...queues].map((name) => recordId("queue", name)) },
          gone: null,
          expires_at: { $lte: new Date(this.#context.now()) },
          "consumers.0": { $exists: false },
        }, { projection: { name: 1 } }),
    );
    const over = new Set(found.map(({ name }) => String(name)));
    for (const queue of over) await this.#drop(queue);
    return over;
  }

  /** Keeps the queues that an owner consumes from, and drops those whose time is over. */
  async sweep(owner: string, options?: CallOptions): Promise<void> {
    const { client, settings: { names } } = this.#context;
    const now = await this.#context.freshNow();
    const used: string[] = [];
    for (const queue of this.#tables.view.topology.queuesOf(owner)) {
      if (this.#expiresOf(queue) !== undefined) used.push(queue);
    }
    await this.#context.call("keep queues", options, async () => {
      for (const queue of used) {
        await client.update(names.topology, [{
          filter: { _id: recordId("queue", queue), gone: null },
          update: {
            $set: {
              expires_at: new Date(now + (this.#expiresOf(queue) ?? 0)),
            },
          },
        }], { safe: true });
      }
      const over = await client.find(names.topology, {
        expires_at: { $lte: new Date(now) },
        "consumers.0": { $exists: false },
      }, { limit: 100, projection: { name: 1 } });
      for (const { name } of over) await this.#drop(String(name), options);
    });
  }

  #expiresOf(queue: string): number | undefined {
    return this.#tables.view.topology.queue(queue)?.traits.expires;
  }

  async #drop(queue: string, options?: CallOptions): Promise<void> {
    for (;;) {
      const { topology, version } = await this.#tables.read(
        { type: "queue", name: queue },
        options,
      );
      const record = topology.queue(queue);
      if (record === undefined || record.consumers.length > 0) return;
      const changes = planDeleteQueue(
        topology,
        { name: queue, ifUnused: true, ifEmpty: false },
        record.owner ?? "",
      );
      const { type } = await this.#tables.apply(changes, version, options);
      if (type === "applied") return;
    }
  }
}
