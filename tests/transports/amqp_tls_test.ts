// deno-lint-ignore-file no-top-level-await -- what is missing must be known before the test is named
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, createConnection, Queue } from "@dashi/mq";
import { findRabbitmq, startRabbitmq } from "../brokers/rabbitmq.ts";
import { freePort } from "../brokers/server.ts";
import { CLIENTS } from "../support/amqp.ts";
import { certificates, hasOpenssl } from "../support/certificates.ts";

const reason = findRabbitmq() === undefined
  ? "RabbitMQ is not installed"
  : await hasOpenssl()
  ? undefined
  : "openssl is not installed";

Deno.test({
  name: `amqps:// verifies the broker, and shows a client's certificate${
    reason === undefined ? "" : ` (${reason})`
  }`,
  ignore: reason !== undefined,
  fn: async (context) => {
    const folder = await Deno.makeTempDir();
    await certificates(folder);
    const tlsPort = freePort();
    const broker = await startRabbitmq({
      tlsPort,
      config: [
        `listeners.ssl.1 = 127.0.0.1:${tlsPort}`,
        `ssl_options.cacertfile = ${folder}/ca.pem`,
        `ssl_options.certfile = ${folder}/server.pem`,
        `ssl_options.keyfile = ${folder}/server.key`,
        "ssl_options.verify = verify_peer",
        "ssl_options.fail_if_no_peer_cert = false",
      ].join("\n"),
    });
    const url = broker.tlsUrl ?? "";
    const read = (name: string) => Deno.readTextFile(`${folder}/${name}`);
    const ca = await read("ca.pem");
    try {
      for (const client of CLIENTS) {
        const transport = client.name;
        await context.step(
          `${client.name}: with its authority's certificate`,
          async () => {
            await using connection = createConnection(url, {
              transport,
              ssl: { ca },
            });
            const queue = new Queue("", { exclusive: true });
            const [status] = await connection.declare(queue);
            await connection.producer().publish("safe", {
              routingKey: status?.name ?? "",
            });
            for await (const message of connection.consumer(queue)) {
              assertEquals(message.payload, "safe");
              await message.ack();
              break;
            }
          },
        );
        await context.step(`${client.name}: not without it`, async () => {
          await using connection = createConnection(url, { transport });
          const error = await assertRejects(
            () => connection.connect(),
            ConnectionError,
          );
          assert(error.message.includes("certificate"), error.message);
          assert(error.message.includes("ssl: { ca }"), error.message);
          assertEquals(error.retryable, false);
        });
        await context.step(`${client.name}: not with another's`, async () => {
          await using connection = createConnection(url, {
            transport,
            ssl: { ca: await read("other.pem") },
          });
          await assertRejects(
            () => connection.connect(),
            ConnectionError,
            "certificate",
          );
        });
        await context.step(
          `${client.name}: not under another name, unless that is asked for`,
          async () => {
            const other = url.replace("localhost", "127.0.0.1");
            await using wrong = createConnection(other, {
              transport,
              ssl: { ca },
            });
            await assertRejects(
              () => wrong.connect(),
              ConnectionError,
              "certificate",
            );
            await using named = createConnection(other, {
              transport,
              ssl: { ca, servername: "localhost" },
            });
            await named.connect();
          },
        );
        await context.step(
          `${client.name}: without verifying, if that is asked for`,
          async () => {
            await using connection = createConnection(
              `${url}?ssl_cert_reqs=none`,
              { transport },
            );
            await connection.connect();
          },
        );
        await context.step(
          `${client.name}: with a client's certificate`,
          async () => {
            const [cert, key] = [
              await read("client.pem"),
              await read("client.key"),
            ];
            await using connection = createConnection(url, {
              transport,
              ssl: { ca, cert, key },
            });
            await connection.connect();
            const listed = await broker.control(
              "list_connections",
              "peer_cert_subject",
            );
            assert(listed.includes("CN=guest"), listed);
          },
        );
        await context.step(
          `${client.name}: with TLS to a port that speaks none`,
          async () => {
            await using connection = createConnection(broker.url, {
              transport,
              ssl: true,
              connectTimeout: 500,
            });
            await assertRejects(() => connection.connect(), ConnectionError);
          },
        );
      }
    } finally {
      await broker.stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
