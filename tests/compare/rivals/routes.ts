import "npm:reflect-metadata@0.2";
import "npm:amqp-connection-manager@5.0.0";
import "npm:amqplib@2.3.1";
import { Controller, Module } from "npm:@nestjs/common@12.1.1";
import { NestFactory } from "npm:@nestjs/core@12.1.1";
import {
  ClientProxyFactory,
  EventPattern,
  Payload,
  Transport,
} from "npm:@nestjs/microservices@12.1.1";

const [url = ""] = Deno.args;
const options = {
  urls: [url],
  queue: "events",
  queueOptions: { durable: true },
};
const done = Promise.withResolvers<void>();

@Controller()
class Events {
  @EventPattern("order.created")
  order(@Payload() payload: number) {
    console.log("order", payload);
  }

  @EventPattern("user.renamed")
  user(@Payload() payload: string) {
    console.log("user", payload);
    done.resolve();
  }
}

@Module({ controllers: [Events] })
class App {}

const app = await NestFactory.createMicroservice(App, {
  transport: Transport.RMQ,
  options,
  logger: false,
});
await app.listen();

const client = ClientProxyFactory.create({ transport: Transport.RMQ, options });
await client.emit("order.created", 7).toPromise();
await client.emit("user.renamed", "Ada").toPromise();

await done.promise;
await client.close();
await app.close();
