import { assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { take } from "../../conformance/stage.ts";
import { CLIENTS, testOne, urlFor } from "../../support/amqp.ts";
import { amqpPlace, erlang } from "../../support/amqp_place.ts";

for (const client of CLIENTS) {
  testOne(
    client,
    'a message that run rejects by onFailure: "reject" is dead-lettered by a policy',
    async () => {
      await using place = await amqpPlace();
      const definition = JSON.stringify({
        "dead-letter-exchange": "",
        "dead-letter-routing-key": "dead",
      });
      await place.ask(
        `rabbit_policy:parse_set(${
          erlang(place.vhost)
        }, <<"dead">>, <<"^orders$">>, ${
          erlang(definition)
        }, <<"0">>, <<"queues">>, <<"tests">>)`,
      );
      await using connection = createConnection(urlFor(client, place.url));
      const [orders, dead] = [new Queue("orders"), new Queue("dead")];
      await connection.declare([orders, dead]);
      await connection.send(orders, 1);
      const consumer = connection.consumer(orders);
      const rejected = (async () => {
        for await (const event of connection.events()) {
          if (event.type === "rejected") return await consumer.cancel();
        }
      })();
      await consumer.run(() => {
        throw new RangeError("out of stock");
      }, { retry: false, onFailure: "reject" });
      await rejected;
      const [letter] = await take(connection.consumer(dead), 1);
      assertEquals(
        letter?.deaths.map(({ queue, reason }) => [queue, reason]),
        [["orders", "rejected"]],
      );
      await letter?.ack();
    },
  );
}
