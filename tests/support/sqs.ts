/** Tests of the SQS transport's own, on the stand-in that the runner provides. */

import {
  GetQueueUrlCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { assert, assertEquals } from "@std/assert";
import { type Connection, createConnection, Queue } from "@dashi/mq";
import { AwsRelay } from "./aws_relay.ts";
import { arrives } from "../conformance/support.ts";
import { assertNothingLeft, resources } from "./leaks.ts";

const given = Deno.env.get("DASHI_TEST_SQS_URL");
const reason = Deno.env.get("DASHI_TEST_SQS_REASON") ?? "there is no broker";

/** How long a test may take that waits for what does not come, ms. */
const MAX_TIME = 60_000;

/** Short waits: fauxqs does not notice that nobody waits for its answer any more. */
export const QUICK = "?wait_time_seconds=1&get_wait_time_seconds=0";

/** The stand-in's URL. */
export const url: string = `${given ?? "sqs://key:secret@127.0.0.1"}/${QUICK}`;

/** The stage of a test on SQS. */
export interface SqsStage {
  readonly relay: AwsRelay;
  /** Opens a connection through the relay; it is closed at the end. */
  open(
    options?: Parameters<typeof createConnection>[1],
    query?: string,
  ): Connection;
}

/** Registers a test that needs SQS, and leaves nothing open. */
export function test(
  name: string,
  run: (stage: SqsStage) => Promise<void>,
): void {
  Deno.test({
    name: `sqs: ${name}${given === undefined ? ` (${reason})` : ""}`,
    ignore: given === undefined,
    fn: async () => {
      const before = resources();
      {
        await using relay = new AwsRelay(url);
        const connections: Connection[] = [];
        try {
          await arrives(
            run({
              relay,
              open(options = {}, query = QUICK) {
                const connection = createConnection(
                  relay.urlOf(query),
                  options,
                );
                connections.push(connection);
                return connection;
              },
            }),
            "the end of the test",
            MAX_TIME,
          );
        } finally {
          relay.intercept = () => undefined;
          for (const each of connections) await each.close();
        }
      }
      await assertNothingLeft(before);
    },
  });
}

/** A name that no other test has. */
export function unique(suffix = ""): string {
  return `dashi-${crypto.randomUUID()}${suffix}`;
}

/** Does something by the AWS SDK itself. */
async function withSdk<R>(
  region: string,
  action: (client: SQSClient) => Promise<R>,
): Promise<R> {
  const { host } = new URL(url.replace(/^\w+:/, "http:"));
  const client = new SQSClient({
    region,
    endpoint: `http://${host}`,
    credentials: { accessKeyId: "key", secretAccessKey: "secret" },
  });
  try {
    return await action(client);
  } finally {
    client.destroy();
  }
}

/** Finds a queue's URL as the server gives it. */
export function queueUrlOf(
  name: string,
  region: string = "us-east-1",
): Promise<string> {
  const command = new GetQueueUrlCommand({ QueueName: name });
  return withSdk(
    region,
    async (client) => (await client.send(command)).QueueUrl ?? "",
  );
}

/** Sends what another program has written. */
export async function sendRaw(
  name: string,
  body: string,
  group?: string,
): Promise<void> {
  const QueueUrl = await queueUrlOf(name);
  const command = new SendMessageCommand({
    QueueUrl,
    MessageBody: body,
    ...(group === undefined ? {} : {
      MessageGroupId: group,
      MessageDeduplicationId: crypto.randomUUID(),
    }),
  });
  await withSdk("us-east-1", (client) => client.send(command));
}

/**
 * Consumes from a queue whose receives are all answered at once, and asserts that there are
 * pauses between them, and that a message comes when they are answered by the server.
 */
export async function asksInPeace(
  { open, relay }: SqsStage,
  answer: () => Response,
  query?: string,
): Promise<void> {
  const queue = new Queue(unique());
  const connection = open({}, query);
  await connection.declare(queue);
  relay.intercept = ({ action }) =>
    action === "ReceiveMessage" ? answer() : undefined;
  const iterator = connection.consumer<number>(queue)[Symbol.asyncIterator]();
  const next = iterator.next();
  await relay.until("ReceiveMessage", 1);
  const began = performance.now();
  await relay.until("ReceiveMessage", 6);
  const took = performance.now() - began;
  assert(took > 500, `five more receives within ${took} ms`);
  relay.intercept = () => undefined;
  await connection.producer().publish(7, { routingKey: queue.name });
  const { value } = await next;
  assertEquals(value?.payload, 7);
  await value?.ack();
  await iterator.return?.();
  await remove(queue.name);
}

/** Deletes queues. */
export async function remove(...names: readonly string[]): Promise<void> {
  await using connection = createConnection(url);
  const channel = await connection.channel();
  for (const name of names) await channel.deleteQueue(name);
}
