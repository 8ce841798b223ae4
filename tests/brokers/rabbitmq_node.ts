/** Asks and tells a RabbitMQ of the tests' own what its operators do. */

import { run } from "./server.ts";

/** The names, ports and folders of a node. */
export interface NodeSettings {
  /** Its name among Erlang's nodes. */
  readonly name: string;
  /** The folder of `rabbitmqctl`. */
  readonly binaries: string;
  /** The folder that has its cookie. */
  readonly home: string;
  /** The port of Erlang's port mapper. */
  readonly mapper: number;
}

/** A node of RabbitMQ, from outside. */
export class RabbitmqNode {
  readonly settings: NodeSettings;

  /** Asks nothing yet. */
  constructor(settings: NodeSettings) {
    this.settings = settings;
  }

  /** Its name among Erlang's nodes. */
  get name(): string {
    return this.settings.name;
  }

  /** The variables by which programs of Erlang find it. */
  get env(): Record<string, string> {
    const { name, home, mapper } = this.settings;
    return {
      HOME: home,
      ERL_EPMD_ADDRESS: "127.0.0.1",
      ERL_EPMD_PORT: String(mapper),
      RABBITMQ_NODENAME: name,
    };
  }

  /** Runs `rabbitmqctl`: that takes more than a second of a processor. */
  control(...args: readonly string[]): Promise<string> {
    const { binaries, name } = this.settings;
    return run(`${binaries}/rabbitmqctl`, ["-n", name, ...args], this.env);
  }

  /** Evaluates an expression of Erlang's in the server, and returns its value as text: in some milliseconds. */
  async ask(expression: string): Promise<string> {
    const text =
      `lists:flatten(io_lib:format("~0tp", [begin ${expression} end]))`;
    const { name, home } = this.settings;
    const cookie = await Deno.readTextFile(`${home}/.erlang.cookie`);
    try {
      const args = ["-sname", name, "-c", cookie.trim(), "-r", "-e"];
      const answer = await run("erl_call", args, this.env, `${text}.\n`);
      const result = /^\{ok, "(.*)"\}\s*$/s.exec(answer)?.[1];
      if (result === undefined) throw new Error(`${expression}: ${answer}`);
      return result.replace(/\\(.)/g, "$1");
    } catch (error) {
      // An Erlang without it; or it could not connect, for another has its random name.
      if (
        !(error instanceof Deno.errors.NotFound) &&
        !/^erl_call .*connect/s.test(String((error as Error).message))
      ) throw error;
      return (await this.control("eval", `${expression}.`)).trim();
    }
  }
}

/** The node that the runner of the tests started, if it did. */
export function nodeOfRunner(): RabbitmqNode | undefined {
  const told = Deno.env.get("DASHI_TEST_AMQP_NODE");
  return told === undefined ? undefined : new RabbitmqNode(JSON.parse(told));
}
