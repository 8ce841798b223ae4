/** A broker that was well when it was dialled, and then says again whatever it is told: no error shows a secret. */

import { assert, assertEquals } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { arrives, unique } from "./conformance/support.ts";
import { ECHOES, leaks } from "./support/secrets.ts";
import { TARGETS } from "./support/targets.ts";

const TOKEN = "tOkEn-sEcReT-vv";

/** A relay that passes all on, until it is told to answer by itself. */
class Turncoat implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  readonly #open = new Set<Deno.Conn>();
  readonly #target: { readonly hostname: string; readonly port: number };
  /** Answers in the broker's place. */
  echo: ((said: string) => string) | undefined;

  constructor(broker: string) {
    const { hostname, port } = new URL(broker.replace(/^[\w+-]+:/, "http:"));
    this.#target = { hostname, port: Number(port) };
    (async () => {
      for await (const client of this.#listener) void this.#serve(client);
    })().catch(() => {});
  }

  /** The URL that leads through it. */
  urlOf(broker: string): string {
    const { port } = this.#listener.addr;
    return broker.replace(
      /^([\w+-]+:\/\/(?:[^@/]*@)?)[^/?]*/,
      `$1127.0.0.1:${port}`,
    );
  }

  async #serve(client: Deno.Conn): Promise<void> {
    const server = await Deno.connect(this.#target);
    for (const each of [client, server]) this.#open.add(each);
    const back = server.readable.pipeTo(client.writable, {
      preventClose: true,
    }).catch(() => {});
    const writer = server.writable.getWriter();
    try {
      for await (const bytes of client.readable) {
        if (this.echo === undefined) await writer.write(bytes);
        else {
          const said = this.echo(new TextDecoder().decode(bytes));
          await client.write(new TextEncoder().encode(said));
          if (this.echo !== ECHOES[1]) break;
        }
      }
    } catch {
      // It was cut off.
    }
    for (const each of [client, server]) close(each);
    await back;
  }

  [Symbol.dispose](): void {
    this.#listener.close();
    for (const each of this.#open) close(each);
  }
}

function close(socket: Deno.Conn): void {
  try {
    socket.close();
  } catch {
    // It is closed.
  }
}

for (const { name, url: broker, reason } of TARGETS) {
  Deno.test({
    name: `${name}: a broker's words after the dial show no secret${
      broker === undefined ? ` (${reason})` : ""
    }`,
    ignore: broker === undefined,
    // Drivers' timers outlive a socket that was cut, for a while.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async (context) => {
      for (const [i, echo] of ECHOES.entries()) {
        await context.step(
          `in form ${i + 1}`,
          () => turn(name, broker ?? "", echo),
        );
      }
    },
  });
}

async function turn(
  name: string,
  broker: string,
  echo: (said: string) => string,
): Promise<void> {
  using relay = new Turncoat(broker);
  // A server that trusts who comes takes any password.
  const whole = broker.replace(/(?<=\/\/[^@/:]+)@/, `:${TOKEN}@`);
  const [, login = ""] = /\/\/([^@/]*)@/.exec(whole) ?? [];
  const secrets = login === "" ? [TOKEN] : [TOKEN, login, btoa(login)];
  const connection = createConnection(relay.urlOf(whole), {
    transport: name,
    connectTimeout: 20_000,
    operationTimeout: 5000,
    reconnect: false,
    ...(name === "sqs" ? { transportOptions: { sessionToken: TOKEN } } : {}),
  });
  const seen: unknown[] = [];
  const listening = (async () => {
    for await (const event of connection.events()) seen.push(event);
  })();
  const queue = new Queue(unique("secrets"), { autoDelete: true });
  const producer = connection.producer({ routingKey: queue.name });
  await connection.declare(queue);
  await producer.publish(1);
  relay.echo = echo;
  const limits = { timeout: 1000 };
  const calls = Promise.allSettled([
    producer.publish(2, limits),
    connection.queue(queue.name).get(limits),
    connection.declare(new Queue(unique("secrets")), limits),
    connection.consumer(queue).run(() => {}),
  ]);
  await connection.close({ drainTimeout: 500 });
  const ends = await arrives(calls, "the ends", 60_000);
  for (const each of ends) {
    if (each.status === "rejected") seen.push(each.reason);
  }
  await listening;
  assert(seen.some((each) => each instanceof Error));
  assertEquals([...new Set(leaks(seen, secrets))], []);
  const direct = createConnection(broker, { transport: name });
  await (await direct.channel()).deleteQueue(queue.name).catch(() => {});
  await direct.close();
}
