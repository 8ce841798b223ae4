import type { NativeClient } from "../transport.ts";

/**
 * `SQSClient` of the AWS SDK, for commands of one's own: tags, policies, moves of dead letters.
 *
 * Do not destroy it. Messages that are received by it are not the library's to settle, and a
 * queue's visibility timeout is not to be changed while it is consumed from. Predefined
 * queues with credentials of their own have clients of their own; this is the connection's.
 */
export const nativeClient: NativeClient<
  InstanceType<(typeof import("@aws-sdk/client-sqs"))["SQSClient"]>
> = {
  name: "@aws-sdk/client-sqs",
  is: (
    client,
  ): client is InstanceType<
    (typeof import("@aws-sdk/client-sqs"))["SQSClient"]
  > => client instanceof Object && "send" in client && "config" in client,
};
