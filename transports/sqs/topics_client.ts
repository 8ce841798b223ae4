import type { SNSClient } from "@aws-sdk/client-sns";
import type { CallOptions } from "../../model/call_options.ts";
import { exportsOf } from "../../model/dependency.ts";
import { cannotLoad } from "../load_error.ts";
import type { ConfigWithAgents } from "./agents_client.ts";
import { type BatchResult, resultOf } from "./batches.ts";
import type { SendEntry } from "./entry.ts";
import { TOPIC_TAGS } from "./names.ts";
import { text } from "./requests.ts";

/** The services that topics have from the client of their connection. */
export interface TopicHost {
  /** The configuration of the SDK's client. */
  config(): ConfigWithAgents;
  /** Sends a request within its limits. */
  run<O>(
    action: string,
    request: (abortSignal: AbortSignal) => Promise<O>,
    options: CallOptions,
  ): Promise<O>;
}

/** SNS by the library's verbs, over the AWS SDK, which is loaded with the first topic. */
export class TopicClient {
  readonly #host: TopicHost;
  #sns: Promise<Sns> | undefined;

  /** Makes one that has sent nothing yet. */
  constructor(host: TopicHost) {
    this.#host = host;
  }

  /** Creates a topic, or finds it; returns its ARN. */
  createTopic(
    name: string,
    fifo: boolean,
    options: CallOptions,
  ): Promise<string> {
    return this.#run(
      `declare topic "${name}"`,
      async (sns, abortSignal) => {
        const command = new sns.CreateTopicCommand({
          Name: name,
          Attributes: { FifoTopic: String(fifo) },
          Tags: TOPIC_TAGS,
        });
        return text((await sns.client.send(command, { abortSignal })).TopicArn);
      },
      options,
    );
  }

  /** Deletes a topic, and its subscriptions. */
  async deleteTopic(topic: string, options: CallOptions): Promise<void> {
    await this.#run(`delete topic "${topic}"`, (sns, abortSignal) => {
      const command = new sns.DeleteTopicCommand({ TopicArn: topic });
      return sns.client.send(command, { abortSignal });
    }, options);
  }

  /** Subscribes a queue to a topic; returns the subscription's ARN. */
  subscribe(
    topic: string,
    queue: string,
    options: CallOptions,
  ): Promise<string> {
    return this.#run(
      `bind queue "${queue}" to topic "${topic}"`,
      async (sns, abortSignal) => {
        const command = new sns.SubscribeCommand({
          TopicArn: topic,
          Protocol: "sqs",
          Endpoint: queue,
          Attributes: { RawMessageDelivery: "true" },
          ReturnSubscriptionArn: true,
        });
        const answer = await sns.client.send(command, { abortSignal });
        return text(answer.SubscriptionArn);
      },
      options,
    );
  }

  /** Ends a subscription. */
  async unsubscribe(
    subscription: string,
    options: CallOptions,
  ): Promise<void> {
    await this.#run(`unbind "${subscription}"`, (sns, abortSignal) => {
      const command = new sns.UnsubscribeCommand({
        SubscriptionArn: subscription,
      });
      return sns.client.send(command, { abortSignal });
    }, options);
  }

  /** Publishes up to ten messages to a topic. */
  publish(
    topic: string,
    entries: readonly SendEntry[],
    options: CallOptions,
  ): Promise<BatchResult> {
    return this.#run(
      `publish to topic "${topic}"`,
      async (sns, abortSignal) => {
        const command = new sns.PublishBatchCommand({
          TopicArn: topic,
          PublishBatchRequestEntries: entries.map((entry, i) => ({
            Id: String(i),
            Message: entry.body(),
            MessageGroupId: entry.group,
            MessageDeduplicationId: entry.deduplication,
          })),
        });
        const answer = await sns.client.send(command, { abortSignal });
        return resultOf(entries.length, answer);
      },
      options,
    );
  }

  /** Closes the sockets. */
  async close(): Promise<void> {
    const sns = await this.#sns?.catch(() => undefined);
    sns?.client.destroy();
  }

  #run<O>(
    action: string,
    request: (sns: Sns, abortSignal: AbortSignal) => Promise<O>,
    options: CallOptions,
  ): Promise<O> {
    return this.#host.run(action, async (abortSignal) => {
      const sns = await (this.#sns ??= this.#open());
      return await request(sns, abortSignal);
    }, options);
  }

  async #open(): Promise<Sns> {
    try {
      const sdk = await loadSdk();
      return { ...sdk, client: new sdk.SNSClient(this.#host.config()) };
    } catch (error) {
      this.#sns = undefined;
      throw error;
    }
  }
}

/** It is needed with the first fanout exchange, and not by who has none. */
async function loadSdk(): Promise<typeof import("@aws-sdk/client-sns")> {
  try {
    return exportsOf(await import("@aws-sdk/client-sns"), "SNSClient");
  } catch (cause) {
    throw cannotLoad("sqs", cause);
  }
}

type Sns = typeof import("@aws-sdk/client-sns") & {
  readonly client: SNSClient;
};
