import type { Binding } from "../../model/binding.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { NotFoundError, PreconditionFailedError } from "../../model/errors.ts";
import type { QueueDeclaration, QueueStatus } from "../../model/queue.ts";
import { requireForQueue } from "../store/capabilities.ts";
import type { Channel, DeleteQueueOptions } from "../transport.ts";
import type { Call } from "./calls.ts";
import {
  checkOrdered,
  type OrderedQueue,
  orderedQueue,
  orderedSteps,
  partitionsOf,
  restExchange,
} from "./ordered_layout.ts";
import type { OrderedQueues } from "./ordered_queues.ts";
import type { AmqpClientChannel } from "./port.ts";
import type { Server } from "./server.ts";
import { Topology } from "./topology.ts";

/** The verbs of tables that ordered queues need of the broker's own queues. */
type Tables = Pick<
  Channel,
  "checkQueue" | "purgeQueue" | "deleteQueue" | "bind" | "unbind"
>;

/** The verbs that change or look at the broker's tables, where a queue may be ordered. */
export class OrderedTopology extends Topology {
  readonly #queues: OrderedQueues;
  readonly #server: Server;
  /** The same verbs, for the parts of ordered queues. */
  readonly #plain: Tables;

  /** Makes them for a channel. */
  constructor(
    client: AmqpClientChannel,
    call: Call,
    server: Server,
    queues: OrderedQueues,
  ) {
    super(client, call, server);
    this.#queues = queues;
    this.#server = server;
    this.#plain = new Topology(client, call, server);
  }

  get #mayBeOrdered(): boolean {
    return this.#server.capabilities.has("key-order");
  }

  override async declareQueue(
    queue: QueueDeclaration,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    const count = partitionsOf(queue);
    if (count !== undefined) {
      requireForQueue(this.#server.capabilities, queue);
      return await this.#declare(queue, count, options);
    }
    const status = await super.declareQueue(queue, options);
    this.#queues.notePlain(status.name);
    return status;
  }

  override async checkQueue(
    name: string,
    options?: CallOptions,
  ): Promise<QueueStatus> {
    return await this.#onParts(
      name,
      () => super.checkQueue(name, options),
      (ordered, tables, call) => statusOf(ordered, tables, call),
      options,
    );
  }

  override async purgeQueue(
    name: string,
    options?: CallOptions,
  ): Promise<number> {
    return await this.#onParts(
      name,
      () => super.purgeQueue(name, options),
      async ({ partitions }, tables, call) => {
        let count = 0;
        for (const each of partitions) {
          count += await tables.purgeQueue(each, call);
        }
        return count;
      },
      options,
    );
  }

  override async deleteQueue(
    name: string,
    options?: DeleteQueueOptions,
  ): Promise<number> {
    const known = this.#queues.get(name);
    if (known !== undefined) return await this.#delete(known, options);
    const count = await super.deleteQueue(name, options);
    // To delete what is not there is no error.
    const found = count > 0 || !this.#mayBeOrdered
      ? undefined
      : await this.#queues.find(name);
    if (found !== undefined) return await this.#delete(found, options);
    this.#queues.forget(name);
    return count;
  }

  override async bind(binding: Binding, options?: CallOptions): Promise<void> {
    const { kind, name } = binding.destination;
    if (kind === "exchange") return await super.bind(binding, options);
    await this.#onParts(
      name,
      () => super.bind(binding, options),
      (ordered, tables, call) => tables.bind(toKeys(binding, ordered), call),
      options,
    );
  }

  override async unbind(
    binding: Binding,
    options?: CallOptions,
  ): Promise<void> {
    const { kind, name } = binding.destination;
    // To unbind what is not there is no error.
    const ordered = kind === "queue" && this.#mayBeOrdered
      ? await this.#queues.find(name)
      : undefined;
    await super.unbind(
      ordered === undefined ? binding : toKeys(binding, ordered),
      options,
    );
  }

  /** For a queue that the broker does not know by its name it is looked whether that is an ordered one's: its error has ended the channel. */
  async #onParts<T>(
    name: string,
    plain: () => Promise<T>,
    ordered: (
      queue: OrderedQueue,
      tables: Tables,
      call: CallOptions | undefined,
    ) => Promise<T>,
    options: CallOptions | undefined,
  ): Promise<T> {
    const known = this.#queues.get(name);
    if (known !== undefined) return await ordered(known, this.#plain, options);
    try {
      return await plain();
    } catch (error) {
      if (!(error instanceof NotFoundError) || !this.#mayBeOrdered) throw error;
      const found = await this.#queues.findAgain(name, options);
      if (found === undefined) throw error;
      return await this.#queues.run((channel, call) =>
        ordered(found, channel, call)
      );
    }
  }

  async #declare(
    declaration: QueueDeclaration,
    count: number,
    options: CallOptions | undefined,
  ): Promise<QueueStatus> {
    checkOrdered(declaration);
    const { name } = declaration;
    const queue = orderedQueue(name, count);
    if (this.#queues.get(name) === undefined) await this.#requireFree(name);
    const { exchanges, queues, bindings } = orderedSteps(declaration, queue);
    try {
      for (const each of exchanges) await this.declareExchange(each, options);
    } catch (error) {
      throw await this.#otherCount(error, queue) ?? error;
    }
    const statuses: QueueStatus[] = [];
    for (const each of queues) {
      statuses.push(await super.declareQueue(each, options));
    }
    for (const each of bindings) await super.bind(each, options);
    this.#queues.note(queue);
    return summed(name, statuses);
  }

  /** Another number of partitions would send keys to others than now. */
  async #otherCount(
    error: unknown,
    { name, partitions }: OrderedQueue,
  ): Promise<PreconditionFailedError | undefined> {
    if (!(error instanceof PreconditionFailedError)) return undefined;
    if (!error.message.includes('"alternate-exchange"')) return undefined;
    const found = await this.#queues.look(name);
    const count = found?.partitions.length ?? partitions.length;
    if (count === partitions.length) return undefined;
    return new PreconditionFailedError(
      `Cannot declare queue "${name}" with ${partitions.length} partitions: it has ${count}; declare it as it is, or delete it when it is empty`,
      { cause: error },
    );
  }

  /** Refuses a name that a plain queue has: publishes to the queue by its name would go on to reach that one. */
  async #requireFree(name: string): Promise<void> {
    if (!await this.#queues.has("queue", name)) return;
    throw new PreconditionFailedError(
      `Cannot declare queue "${name}" as ordered: there is one of that name that is not; delete it, or choose another name`,
    );
  }

  async #delete(
    queue: OrderedQueue,
    options: DeleteQueueOptions | undefined,
  ): Promise<number> {
    const { name, exchange, partitions } = queue;
    const { ifUnused = false, ifEmpty = false } = options ?? {};
    if (ifUnused || ifEmpty) {
      const status = await statusOf(queue, this.#plain, options);
      const { messageCount, consumerCount = 0 } = status;
      const why = ifUnused && consumerCount > 0
        ? "it is in use"
        : ifEmpty && messageCount > 0
        ? "it is not empty"
        : undefined;
      if (why !== undefined) {
        throw new PreconditionFailedError(
          `Cannot delete queue "${name}": ${why}`,
        );
      }
    }
    let count = 0;
    // The first is the last: until then it can be found by its name.
    for (const each of [...partitions].reverse()) {
      count += await super.deleteQueue(each, options);
    }
    this.#queues.forget(name);
    const { signal, deadline } = options ?? {};
    for (const each of [exchange, restExchange(queue)]) {
      await this.deleteExchange(each, { signal, deadline });
    }
    return count;
  }
}

async function statusOf(
  { name, partitions }: OrderedQueue,
  tables: Tables,
  call: CallOptions | undefined,
): Promise<QueueStatus> {
  const statuses: QueueStatus[] = [];
  for (const each of partitions) {
    statuses.push(await tables.checkQueue(each, call));
  }
  return summed(name, statuses);
}

/** Each consumer consumes from all partitions. */
function summed(name: string, statuses: readonly QueueStatus[]): QueueStatus {
  let [messageCount, consumerCount] = [0, 0];
  for (const each of statuses) {
    messageCount += each.messageCount;
    consumerCount = Math.max(consumerCount, each.consumerCount ?? 0);
  }
  return { name, messageCount, consumerCount };
}

function toKeys(binding: Binding, { exchange }: OrderedQueue): Binding {
  return { ...binding, destination: { kind: "exchange", name: exchange } };
}
