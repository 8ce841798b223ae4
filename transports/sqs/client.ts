import {
  ChangeMessageVisibilityBatchCommand,
  CreateQueueCommand,
  DeleteMessageBatchCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ListQueuesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import type { CallOptions } from "../../model/call_options.ts";
import { type ConfigWithAgents, withAgents } from "./agents_client.ts";
import { clientConfig } from "./client_config.ts";
import type { CredentialSource } from "./credentials.ts";
import { FORMER_GROUP, type SendEntry } from "./entry.ts";
import type { SqsSettings } from "./options.ts";
import type { SqsAccess } from "./predefined.ts";
import type {
  AttributeName,
  QueuePlace,
  ReceivedMessage,
  ReceiveSettings,
} from "./port.ts";
import { type BatchAnswer, type BatchResult, resultOf } from "./batches.ts";
import { type Requests, text } from "./requests.ts";
import { TopicClient } from "./topics_client.ts";

/** How often the SDK sends a request whose failure may pass: of a busy server, say. */
const ATTEMPTS = 3;

/** SQS by the library's verbs, over the AWS SDK. */
export class AwsClient {
  readonly #settings: SqsSettings;
  readonly #access: SqsAccess;
  readonly #credentials: CredentialSource | undefined;
  readonly #requests: Requests;
  /** Of the client that has been answered last: the others need not be refused to learn it. */
  #clockOffset = 0;
  #opened: SQSClient | undefined;
  /** SNS, by the same credentials. */
  readonly topics: TopicClient;

  /** Makes one that has sent nothing yet. */
  constructor(
    settings: SqsSettings,
    access: SqsAccess,
    credentials: CredentialSource | undefined,
    requests: Requests,
  ) {
    this.#settings = settings;
    this.#access = access;
    this.#credentials = credentials;
    this.#requests = requests;
    this.topics = new TopicClient({
      config: () => this.#config(settings.snsEndpoint, ATTEMPTS),
      run: (action, request, options) => this.#run(action, request, options),
    });
  }

  /** The AWS SDK's own client. */
  get native(): SQSClient {
    return this.#sqs;
  }

  get #sqs(): SQSClient {
    return this.#opened ??= new SQSClient(
      this.#config(this.#access.endpoint, ATTEMPTS),
    );
  }

  /** Asks for something small, once, to see whether there is somebody. */
  async probe(
    queue: QueuePlace | undefined,
    options: CallOptions,
  ): Promise<void> {
    const sqs = new SQSClient(this.#config(this.#access.endpoint, 1));
    const action = queue === undefined
      ? "connect to SQS"
      : `connect to SQS for queue "${queue.queue}"`;
    try {
      await this.#run(action, async (abortSignal) => {
        if (queue === undefined) {
          const command = new ListQueuesCommand({ MaxResults: 1 });
          await sqs.send(command, { abortSignal });
          return;
        }
        // If only a few actions are allowed, this one tests the credentials: it changes
        // nothing.
        const command = new ChangeMessageVisibilityBatchCommand({
          QueueUrl: queue.url,
          Entries: [{ Id: "0", ReceiptHandle: "none", VisibilityTimeout: 0 }],
        });
        await sqs.send(command, { abortSignal });
      }, options);
    } finally {
      this.#clockOffset = sqs.config.systemClockOffset;
      sqs.destroy();
    }
  }

  /** Asks for the server's date, in whole seconds; `undefined` if its answer has none. */
  readDate(options: CallOptions): Promise<string | undefined> {
    return this.#run("ask the server what it is", async (abortSignal) => {
      const command = new ListQueuesCommand({ MaxResults: 1 });
      let date: string | undefined;
      command.middlewareStack.add((next) => async (args) => {
        const result = await next(args);
        date = dateOf(result.response);
        return result;
      }, { step: "deserialize" });
      await this.#sqs.send(command, { abortSignal });
      return date;
    }, options);
  }

  /** Lists the URLs of queues whose names begin with a prefix, a page, and what to ask the next by. */
  listQueues(
    prefix: string,
    next: string | undefined,
    options: CallOptions,
  ): Promise<{ readonly urls: string[]; readonly next: string | undefined }> {
    return this.#run("list the queues", async (abortSignal) => {
      const command = new ListQueuesCommand({
        MaxResults: 1000,
        NextToken: next,
        ...(prefix === "" ? {} : { QueueNamePrefix: prefix }),
      });
      const { QueueUrls = [], NextToken } = await this.#sqs.send(command, {
        abortSignal,
      });
      return { urls: QueueUrls, next: NextToken };
    }, options);
  }

  /** Finds a queue's URL by its name. */
  findQueue(name: string, options: CallOptions): Promise<string> {
    return this.#run(`find queue "${name}"`, async (abortSignal) => {
      const command = new GetQueueUrlCommand({ QueueName: name });
      return text((await this.#sqs.send(command, { abortSignal })).QueueUrl);
    }, options);
  }

  /** Creates a queue, and returns its URL. */
  createQueue(
    name: string,
    attributes: Record<string, string>,
    options: CallOptions,
  ): Promise<string> {
    const { queueTags } = this.#settings;
    const command = new CreateQueueCommand({
      QueueName: name,
      Attributes: attributes,
      ...(queueTags === undefined ? {} : { tags: { ...queueTags } }),
    });
    return this.#run(
      `declare queue "${name}"`,
      async (abortSignal) =>
        text((await this.#sqs.send(command, { abortSignal })).QueueUrl),
      options,
    );
  }

  /** Deletes a queue. */
  async deleteQueue(url: string, options: CallOptions): Promise<void> {
    const command = new DeleteQueueCommand({ QueueUrl: url });
    await this.#run(
      `delete queue "${url}"`,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
  }

  /** Reads some of a queue's attributes. */
  async readAttributes(
    url: string,
    names: readonly AttributeName[],
    options: CallOptions,
  ): Promise<Partial<Record<AttributeName, string>>> {
    const command = new GetQueueAttributesCommand({
      QueueUrl: url,
      AttributeNames: [...names],
    });
    const { Attributes = {} } = await this.#run(
      `look at queue "${url}"`,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
    return Attributes;
  }

  /** Writes a queue's policy. */
  async writePolicy(
    url: string,
    policy: string,
    options: CallOptions,
  ): Promise<void> {
    const command = new SetQueueAttributesCommand({
      QueueUrl: url,
      Attributes: { Policy: policy },
    });
    await this.#run(
      `let SNS send to queue "${url}"`,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
  }

  /** Sends up to ten messages. */
  send(
    url: string,
    entries: readonly SendEntry[],
    options: CallOptions,
  ): Promise<BatchResult> {
    const command = new SendMessageBatchCommand({
      QueueUrl: url,
      Entries: entries.map((entry, i) => ({
        Id: String(i),
        MessageBody: entry.body(),
        DelaySeconds: entry.delay,
        MessageGroupId: entry.group,
        MessageDeduplicationId: entry.deduplication,
        ...(entry.formerGroup === undefined ? {} : {
          MessageAttributes: {
            [FORMER_GROUP]: {
              DataType: "String",
              StringValue: entry.formerGroup,
            },
          },
        }),
      })),
    });
    return this.#batch(
      `publish to queue "${url}"`,
      entries.length,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
  }

  /** Receives up to ten messages; waits for the first. */
  receive(
    url: string,
    { limit, wait, lease }: ReceiveSettings,
    options: CallOptions,
  ): Promise<readonly ReceivedMessage[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: limit,
      WaitTimeSeconds: wait,
      VisibilityTimeout: lease,
      MessageSystemAttributeNames: [
        "ApproximateReceiveCount",
        "MessageGroupId",
      ],
      MessageAttributeNames: [FORMER_GROUP],
    });
    return this.#run(
      `receive from queue "${url}"`,
      async (abortSignal) => {
        const { Messages } = await this.#sqs.send(command, { abortSignal });
        return (Messages ?? []).map((message) => ({
          id: text(message.MessageId),
          handle: text(message.ReceiptHandle),
          body: text(message.Body),
          receiveCount: Number(
            message.Attributes?.ApproximateReceiveCount ?? 1,
          ),
          group: message.Attributes?.MessageGroupId ??
            message.MessageAttributes?.[FORMER_GROUP]?.StringValue,
        }));
      },
      { ...options, wait: 1000 * wait },
    );
  }

  /** Deletes up to ten messages. */
  remove(
    url: string,
    handles: readonly string[],
    options: CallOptions,
  ): Promise<BatchResult> {
    const command = new DeleteMessageBatchCommand({
      QueueUrl: url,
      Entries: handles.map((ReceiptHandle, i) => ({
        Id: String(i),
        ReceiptHandle,
      })),
    });
    return this.#batch(
      `settle messages of queue "${url}"`,
      handles.length,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
  }

  /** Says for up to ten messages how many seconds from now they stay out of sight. */
  changeVisibility(
    url: string,
    handles: readonly string[],
    seconds: number,
    options: CallOptions,
  ): Promise<BatchResult> {
    const command = new ChangeMessageVisibilityBatchCommand({
      QueueUrl: url,
      Entries: handles.map((ReceiptHandle, i) => ({
        Id: String(i),
        ReceiptHandle,
        VisibilityTimeout: seconds,
      })),
    });
    return this.#batch(
      `hold or give back messages of queue "${url}"`,
      handles.length,
      (abortSignal) => this.#sqs.send(command, { abortSignal }),
      options,
    );
  }

  /** Closes the sockets. */
  async close(): Promise<void> {
    this.#opened?.destroy();
    await this.topics.close();
  }

  #config(endpoint: string | undefined, attempts: number): ConfigWithAgents {
    const place = {
      ...this.#access,
      endpoint,
      tls: this.#settings.tls,
      clockOffset: this.#opened?.config.systemClockOffset ?? this.#clockOffset,
    };
    return withAgents(
      clientConfig(place, this.#credentials, attempts),
      this.#settings.maxResponseSize,
    );
  }

  #run<O>(
    action: string,
    request: (abortSignal: AbortSignal) => Promise<O>,
    options: Parameters<Requests["run"]>[2],
  ): Promise<O> {
    return this.#requests.run(action, request, options, this.#credentials);
  }

  #batch(
    action: string,
    count: number,
    request: (abortSignal: AbortSignal) => Promise<BatchAnswer>,
    options: CallOptions,
  ): Promise<BatchResult> {
    return this.#run(
      action,
      async (abortSignal) => resultOf(count, await request(abortSignal)),
      options,
    );
  }
}

/** The header of an answer of HTTP. */
function dateOf(response: unknown): string | undefined {
  const { headers } = Object(response);
  const date = Object(headers).date;
  return typeof date === "string" ? date : undefined;
}
