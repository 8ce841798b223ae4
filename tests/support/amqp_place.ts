/** A virtual host of a test's own on a RabbitMQ that it may ask and tell what operators do. */

import { startRabbitmq } from "../brokers/rabbitmq.ts";
import { nodeOfRunner, type RabbitmqNode } from "../brokers/rabbitmq_node.ts";

/** A virtual host that a test has to itself, on the runner's server or on one of its own. */
export interface AmqpPlace extends AsyncDisposable {
  /** The URL, with the virtual host. */
  readonly url: string;
  /** The virtual host's name. */
  readonly vhost: string;
  /** Evaluates an expression of Erlang's in the server, and returns its value as text. */
  ask(expression: string): Promise<string>;
}

/** Makes it; a server is started where there is no runner, or none that it started. */
export async function amqpPlace(): Promise<AmqpPlace> {
  const url = Deno.env.get("DASHI_TEST_AMQP_URL");
  const node = nodeOfRunner();
  if (node !== undefined && url !== undefined) return await placeOn(node, url);
  const server = await startRabbitmq();
  try {
    const place = await placeOn(server, server.url);
    return { ...place, [Symbol.asyncDispose]: () => server.stop() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

/** Erlang's text of a name. */
export function erlang(text: string): string {
  return `<<${JSON.stringify(text)}>>`;
}

async function placeOn(
  server: Pick<RabbitmqNode, "ask">,
  url: string,
): Promise<AmqpPlace> {
  const vhost = `dashi-${crypto.randomUUID()}`;
  const name = erlang(vhost);
  const all = `${erlang(".*")}, ${erlang(".*")}, ${erlang(".*")}`;
  const by = erlang("the tests");
  const within = new URL(url);
  within.pathname = vhost;
  const user = erlang(within.username);
  await server.ask(`ok = rabbit_vhost:add(${name}, ${by})`);
  await server.ask(
    `ok = rabbit_auth_backend_internal:set_permissions(${user}, ${name}, ${all}, ${by})`,
  );
  return {
    url: within.href,
    vhost,
    ask: (expression) => server.ask(expression),
    async [Symbol.asyncDispose]() {
      await server.ask(`rabbit_vhost:delete(${name}, ${by})`);
    },
  };
}
