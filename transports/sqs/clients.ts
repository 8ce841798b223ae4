import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { AccessRefusedError, NotFoundError } from "../../model/errors.ts";
import { AwsClient } from "./client.ts";
import {
  CredentialSource,
  type SqsCredentialsFunction,
} from "./credentials.ts";
import type { SqsSettings } from "./options.ts";
import type { SqsAccess } from "./predefined.ts";
import type { QueuePlace } from "./port.ts";
import type { Requests } from "./requests.ts";

/** The clients of a connection: its own, and one for each other way to predefined queues. */
export class Clients {
  /** The connection's own. */
  readonly own: AwsClient;
  readonly #all = new Map<SqsAccess, AwsClient>();
  readonly #byQueue = new Map<string, AwsClient>();
  /** Each function for credentials is called once for all regions. */
  readonly #sources = new Map<SqsCredentialsFunction, CredentialSource>();
  /** A queue of each client; `undefined` where any request will do. */
  readonly #probes = new Map<AwsClient, QueuePlace | undefined>();

  /** Makes clients that have sent nothing yet. */
  constructor(settings: SqsSettings, requests: Requests, clock: Clock) {
    const clientOf = (access: SqsAccess): AwsClient => {
      const known = this.#all.get(access);
      if (known !== undefined) return known;
      const credentials = this.#sourceOf(access.credentials, clock);
      const client = new AwsClient(settings, access, credentials, requests);
      this.#all.set(access, client);
      return client;
    };
    this.own = clientOf(settings.access);
    for (const [queue, { url, access }] of settings.predefinedQueues ?? []) {
      const client = clientOf(access);
      this.#byQueue.set(queue, client);
      if (!this.#probes.has(client)) this.#probes.set(client, { queue, url });
    }
    if (this.#probes.size === 0) this.#probes.set(this.own, undefined);
  }

  /** The client for a queue. */
  of(queue: string): AwsClient {
    return this.#byQueue.get(queue) ?? this.own;
  }

  /** Looks whether there is somebody, wherever a queue is. */
  async probe(options: CallOptions): Promise<void> {
    await Promise.all([...this.#probes].map(async ([client, queue]) => {
      try {
        await client.probe(queue, options);
      } catch (error) {
        // It knows us, and what we may not do we need not do.
        if (error instanceof AccessRefusedError) return;
        if (error instanceof NotFoundError) return;
        throw error;
      }
    }));
  }

  /** Closes the sockets. */
  async close(): Promise<void> {
    await Promise.all([...this.#all.values()].map((client) => client.close()));
  }

  #sourceOf(
    ask: SqsCredentialsFunction | undefined,
    clock: Clock,
  ): CredentialSource | undefined {
    if (ask === undefined) return undefined;
    let source = this.#sources.get(ask);
    if (source === undefined) {
      source = new CredentialSource(ask, clock);
      this.#sources.set(ask, source);
    }
    return source;
  }
}
