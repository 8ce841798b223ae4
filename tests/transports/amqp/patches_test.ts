/**
 * The patches of the two AMQP packages: if another version has changed the patched code,
 * the replacement must be looked at before that version is taken.
 */

import { assertEquals } from "@std/assert";
import { createRequire } from "node:module";
import { digests } from "../../support/digests.ts";

/** The functions, by their places in amqplib's files; `transports/amqp/patch_amqplib.ts` says why. */
const AMQPLIB: Readonly<Record<string, string>> = {
  "codec.decodeFields": "05f489b935da3ccb",
  "codec.encodeTable": "5ffa15522f0c744c",
  "api_args.publish": "ca60ed4e922e2ab5",
  "channel_model.Channel.prototype.publish": "568a775978d13d16",
  "format.inspect": "e1335e2e32aa2642",
  "frame.parseFrame": "13a9519c9969a036",
  "frame.decodeFrame": "bdedbee8bcaf9539",
  "connection.Connection.prototype.acceptLoop": "34315ab01bb0870d",
  "connection.Connection.prototype.recvFrame": "72acca2040aa76c8",
  "connection.Connection.prototype.onSocketError": "6626920b7d4a1431",
  "channel.Channel.prototype.handleConfirm": "e817d006d3fdcc25",
  "channel.Channel.prototype.sendOrEnqueue": "d0bf2b32e43db8df",
  "channel.Channel.prototype.accept": "752306bb69ac1089",
  "channel.Channel.prototype._rejectPending": "280ab50a34169a03",
};

/** The methods that `transports/amqp_client/client.ts` overrides, or calls from one. */
const AMQP_CLIENT: Readonly<Record<string, string>> = {
  "AMQPBaseClient.prototype.close": "b20a4af0db025eb6",
  "AMQPBaseClient.prototype.parseFrames": "fd7f904e1ace4341",
  "AMQPChannel.prototype.resolveRPC": "3bcfcd7eae3e5281",
  "AMQPChannel.prototype.publishConfirmed": "a5feb9d5c00b26a7",
  "AMQPChannel.prototype.onReturn": "25c057381e70bd7a",
  "AMQPChannel.prototype.onMessageReady": "b98567b24fa3188e",
  "AMQPChannel.prototype.deliver": "d7c450c6130428ab",
  "AMQPChannel.prototype.setClosed": "98fd6408ac6526dd",
  "AMQPConsumer.prototype.setClosed": "3406a847bd046771",
  "AMQPView.prototype.getShortString": "47b2b17483900496",
  "AMQPView.prototype.getTable": "9af34a7352739c72",
  "AMQPView.prototype.getProperties": "b3ad4822a3f7202c",
};

Deno.test("amqplib has not changed what is patched of it", async () => {
  const load = createRequire(import.meta.resolve("amqplib"));
  const names = [
    "codec",
    "api_args",
    "channel_model",
    "format",
    "frame",
    "connection",
    "channel",
  ];
  const files = Object.fromEntries(
    names.map((name) => [name, load(`./lib/${name}.js`)]),
  );
  assertEquals(await digests(files, Object.keys(AMQPLIB)), AMQPLIB);
});

Deno.test("@cloudamqp/amqp-client has not changed what is overridden of it", async () => {
  const root = {
    ...await import("@cloudamqp/amqp-client"),
    ...await import("@cloudamqp/amqp-client/amqp-view"),
  };
  assertEquals(await digests(root, Object.keys(AMQP_CLIENT)), AMQP_CLIENT);
});
