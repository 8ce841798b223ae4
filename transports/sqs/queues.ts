import type { Clock } from "../../async/clock.ts";
import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import {
  AccessRefusedError,
  NotFoundError,
  PreconditionFailedError,
  UnsupportedError,
} from "../../model/errors.ts";
import { notAnswered } from "../connection_errors.ts";
import { inSteps } from "../../async/steps.ts";
import type { AwsClient } from "./client.ts";
import type { Clients } from "./clients.ts";
import { entityName, isFifo, quarantineName } from "./names.ts";
import type { SqsSettings } from "./options.ts";
import type { AttributeName, QueuePlace } from "./port.ts";

/** How long a queue's redrive policy is remembered, ms: as long as Kombu does. */
const REDRIVE_KNOWN = 300_000;

/** SQS's longest, in seconds: two weeks. */
const MAX_RETENTION = "1209600";

/** The attributes that new queues have from the program and their quarantine has not. */
const NOT_FOR_QUARANTINE =
  /^(?:Redrive|Fifo|ContentBased|Deduplication|MessageRetention)/;

/** A queue at AWS. */
export interface SqsQueue extends QueuePlace {
  readonly fifo: boolean;
  /** Through which it is reached. */
  readonly client: AwsClient;
}

/** The queues of a connection at AWS: their names there, and their URLs. */
export class Queues {
  readonly #clients: Clients;
  readonly #settings: SqsSettings;
  readonly #clock: Clock;
  readonly #limits: Limits;
  readonly #known = new Map<string, SqsQueue>();
  readonly #finding = new Map<string, Promise<SqsQueue | undefined>>();
  readonly #redrives = new Map<
    string,
    { readonly redrives: boolean; readonly until: number }
  >();
  /** The queues whose attributes may not be read. */
  readonly #denied = new Set<string>();

  /** Makes one that knows the predefined queues alone. */
  constructor(
    clients: Clients,
    settings: SqsSettings,
    clock: Clock,
    limits: Limits,
  ) {
    this.#clients = clients;
    this.#clock = clock;
    this.#settings = settings;
    this.#limits = limits;
    for (const [queue, { url }] of settings.predefinedQueues ?? []) {
      this.#learn(queue, url);
    }
  }

  /** Whether there are no others than those that were there. */
  get predefined(): boolean {
    return this.#settings.predefinedQueues !== undefined;
  }

  /** Looks up a queue that was found before. */
  known(queue: string): SqsQueue | undefined {
    return this.#known.get(queue);
  }

  /** Finds a queue, at AWS if need be; `undefined` if there is none. */
  find(queue: string, options?: CallOptions): Promise<SqsQueue | undefined> {
    const known = this.#known.get(queue);
    if (known !== undefined || this.predefined) return Promise.resolve(known);
    // What is late begins nothing, even where AWS would answer before a timer fires.
    const refusal = this.#limits.refusal(
      options,
      () => `find queue "${queue}"`,
    );
    if (refusal !== undefined) return Promise.reject(refusal);
    // Many may ask at once, each with limits of its own.
    let finding = this.#finding.get(queue);
    if (finding === undefined) {
      finding = this.#ask(queue).finally(() => this.#finding.delete(queue));
      this.#finding.set(queue, finding);
    }
    return this.#limits.wait(
      finding,
      options,
      () => notAnswered(`find queue "${queue}"`, "not-sent", "AWS"),
    );
  }

  /** Lists the queues at AWS by the names that programs use, as far as they are known, page by page. */
  async *names(
    limits: () => CallOptions,
  ): AsyncIterable<readonly string[]> {
    if (this.predefined) return yield [...this.#known.keys()];
    const prefix = entityName(this.#settings.queueNamePrefix);
    let next: string | undefined;
    do {
      const page = await this.#clients.own.listQueues(prefix, next, limits());
      const byUrl = new Map(
        [...this.#known].map(([queue, { url }]) => [url, queue]),
      );
      yield page.urls.map((url) =>
        byUrl.get(url) ?? url.slice(url.lastIndexOf("/") + 1 + prefix.length)
      );
      next = page.next;
    } while (next !== undefined);
  }

  /** Creates a queue, or takes the one that is there. */
  async create(queue: string, options?: CallOptions): Promise<SqsQueue> {
    const found = await this.find(queue, options);
    if (found !== undefined) return found;
    if (this.predefined) {
      throw new NotFoundError(
        `Cannot declare queue "${queue}": it is not among the predefined queues; add it to "predefinedQueues"`,
      );
    }
    const { visibilityTimeout, queueAttributes } = this.#settings;
    const name = this.#nameOf(queue);
    try {
      const url = await this.#clients.own.createQueue(name, {
        VisibilityTimeout: String(visibilityTimeout / 1000),
        ...(isFifo(name) ? { FifoQueue: "true" } : {}),
        ...queueAttributes,
      }, options ?? {});
      return this.#learn(queue, url);
    } catch (error) {
      // Somebody was faster, with other attributes.
      const theirs = error instanceof PreconditionFailedError
        ? await this.find(queue, options)
        : undefined;
      if (theirs === undefined) throw error;
      return theirs;
    }
  }

  /** The quarantine of a queue, at AWS; `undefined` if nothing was ever put there. */
  quarantine(
    queue: string,
    options?: CallOptions,
  ): Promise<SqsQueue | undefined> {
    return this.find(this.#quarantineName(queue), options);
  }

  /** The quarantine of a queue, which is created if need be. */
  async createQuarantine(
    queue: string,
    options?: CallOptions,
  ): Promise<SqsQueue> {
    const name = this.#quarantineName(queue);
    const found = await this.find(name, options);
    if (found !== undefined) return found;
    if (this.predefined) {
      throw new UnsupportedError(
        `Cannot put a message of queue "${queue}" into quarantine: add a queue "${name}" to "predefinedQueues"`,
      );
    }
    const own = Object.entries(this.#settings.queueAttributes).filter((
      [attribute],
    ) => !NOT_FOR_QUARANTINE.test(attribute));
    const url = await this.#clients.own.createQueue(this.#nameOf(name), {
      ...Object.fromEntries(own),
      MessageRetentionPeriod: MAX_RETENTION,
    }, options ?? {});
    return this.#learn(name, url);
  }

  #quarantineName(queue: string): string {
    return quarantineName(queue, this.#settings.queueNamePrefix);
  }

  /** Deletes a queue, and its quarantine. */
  async delete(queue: string, options?: CallOptions): Promise<void> {
    await inSteps(async (change) => {
      await change(this.#delete(queue, options));
      await change(this.#delete(this.#quarantineName(queue), options));
    });
  }

  async #delete(queue: string, options?: CallOptions): Promise<void> {
    const known = await this.find(queue, options);
    if (known === undefined) return;
    this.#known.delete(queue);
    try {
      await known.client.deleteQueue(known.url, options ?? {});
    } catch (error) {
      if (!(error instanceof NotFoundError)) throw error;
    }
  }

  /** Forgets where a queue was: it is not there any more. */
  forget(queue: string): void {
    if (!this.predefined) this.#known.delete(queue);
  }

  /**
   * Reads an attribute; `undefined` where that is not allowed: then it is not asked
   * again.
   *
   * @throws {NotFoundError} If the queue is not there.
   */
  async attribute(
    queue: SqsQueue,
    name: AttributeName,
    options?: CallOptions,
  ): Promise<string | undefined> {
    const attributes = await this.attributes(queue, [name], options);
    return attributes && (attributes[name] ?? "");
  }

  /** Reads several, as {@linkcode attribute} does. */
  async attributes(
    { queue, url, client }: SqsQueue,
    names: readonly AttributeName[],
    options?: CallOptions,
  ): Promise<Partial<Record<AttributeName, string>> | undefined> {
    if (this.#denied.has(queue)) return undefined;
    try {
      return await client.readAttributes(url, names, options ?? {});
    } catch (error) {
      if (!(error instanceof AccessRefusedError)) throw error;
      this.#denied.add(queue);
      return undefined;
    }
  }

  /** Whether SQS moves messages that are received too often, as far as may be known: if not, it may. */
  async redrives(queue: SqsQueue, options?: CallOptions): Promise<boolean> {
    const known = this.#redrives.get(queue.url);
    const now = this.#clock.now();
    if (known !== undefined && now < known.until) return known.redrives;
    const policy = await this.attribute(queue, "RedrivePolicy", options);
    const redrives = policy !== "";
    this.#redrives.set(queue.url, { redrives, until: now + REDRIVE_KNOWN });
    return redrives;
  }

  async #ask(queue: string): Promise<SqsQueue | undefined> {
    try {
      const name = this.#nameOf(queue);
      return this.#learn(queue, await this.#clients.own.findQueue(name, {}));
    } catch (error) {
      if (error instanceof NotFoundError) return undefined;
      throw error;
    }
  }

  #nameOf(queue: string): string {
    return entityName(this.#settings.queueNamePrefix + queue);
  }

  #learn(queue: string, url: string): SqsQueue {
    const client = this.#clients.of(queue);
    const known = { queue, url, fifo: isFifo(queue), client };
    this.#known.set(queue, known);
    return known;
  }
}
