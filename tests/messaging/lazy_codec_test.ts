import { assert, assertEquals, assertThrows } from "@std/assert";
import envelopes from "../golden/envelopes.json" with { type: "json" };
import { ContentDisallowedError, createConnection } from "../../mod.ts";
import { createCodecRegistry } from "../../codec/mod.ts";
import { readEnvelope } from "../../transports/store/envelope.ts";

const PAYLOAD = { a: [1, 2.5, null, true, "é"] };

for (const serializer of ["yaml", "msgpack"]) {
  Deno.test(`a consumer that accepts ${serializer} reads it, whether it waits for it or finds it there`, async () => {
    await using connection = createConnection(`memory://lazy-${serializer}`);
    const producer = connection.producer({ serializer });
    const consumer = connection.consumer("jobs", {
      accept: [serializer],
    });
    await connection.simpleQueue("jobs").clear();
    // Nothing to declare: the first publish goes the short way.
    await producer.publish(PAYLOAD, { routingKey: "jobs" });
    await producer.publish(PAYLOAD, { routingKey: "jobs" });
    let count = 0;
    for await (const message of consumer) {
      assertEquals(message.payload, PAYLOAD);
      await message.ack();
      if (++count === 2) break;
    }
  });

  Deno.test(`a connection that never wrote ${serializer} gets it`, async () => {
    await using writer = createConnection(`memory://got-${serializer}`);
    await using reader = createConnection(`memory://got-${serializer}`);
    const queue = reader.simpleQueue("jobs", { accept: [serializer] });
    await queue.clear();
    await writer.producer().publish(PAYLOAD, {
      routingKey: "jobs",
      serializer,
    });
    const message = await queue.get();
    assertEquals(message?.payload, PAYLOAD);
    await message?.ack();
  });

  Deno.test(`a consumer that does not accept ${serializer} refuses it, and does not load it`, async () => {
    const codecs = createCodecRegistry();
    await using writer = createConnection(`memory://refused-${serializer}`);
    await using reader = createConnection(`memory://refused-${serializer}`, {
      codecs,
    });
    const queue = reader.simpleQueue("jobs");
    await queue.clear();
    await writer.producer().publish(PAYLOAD, {
      routingKey: "jobs",
      serializer,
    });
    const message = await queue.get();
    assertThrows(() => message?.payload, ContentDisallowedError, serializer);
    assert(codecs.isLazy(serializer));
    await message?.reject();
  });

  Deno.test(`a body that Kombu wrote as ${serializer} is read`, async () => {
    const found = envelopes.cases.find(({ name }) =>
      name === `publish_${serializer}`
    );
    const { message } = readEnvelope(String(found?.stored));
    const { contentType, contentEncoding } = message.properties;
    const codecs = createCodecRegistry();
    await codecs.prepare(String(contentType));
    assertEquals(
      codecs.decode(message.body, { contentType, contentEncoding }),
      PAYLOAD,
    );
  });
}
