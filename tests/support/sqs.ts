/** Tests of the SQS transport's own, on the stand-in that the runner provides. */

import {
  GetQueueUrlCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { type Connection, createConnection } from "@dashi/mq";
import { AwsRelay } from "./aws_relay.ts";
import { assertNothingLeft, resources } from "./leaks.ts";

const given = Deno.env.get("DASHI_TEST_SQS_URL");
const reason = Deno.env.get("DASHI_TEST_SQS_REASON") ?? "there is no broker";

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
          await inTime(run({
            relay,
            open(options = {}, query = QUICK) {
              const connection = createConnection(relay.urlOf(query), options);
              connections.push(connection);
              return connection;
            },
          }));
        } finally {
          relay.intercept = () => undefined;
          for (const each of connections) await each.close();
        }
      }
      await assertNothingLeft(before);
    },
  });
}

/** Fails a test that waits for what does not come, where it would wait for ever. */
async function inTime(running: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it took a minute")), 60_000);
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
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
