/** Tests of the beanstalkd transport's own. */

import { assert } from "@std/assert";
import { SYSTEM_CLOCK } from "../../async/clock.ts";
import { createTransport } from "../../transports/beanstalk/mod.ts";
import type {
  ConnectOptions,
  QueueDeclaration,
  TransportConnection,
} from "../../transports/transport.ts";
import { fillDefaults, parseUrl } from "../../url/mod.ts";
import {
  type Beanstalk,
  type BeanstalkOptions,
  findBeanstalk,
  startBeanstalk,
} from "../brokers/beanstalk.ts";
import { assertNothingLeft, resources } from "./leaks.ts";
import { Proxy } from "./proxy.ts";

const reason = findBeanstalk() === undefined
  ? " (beanstalkd is not installed)"
  : "";

/** Registers a test with a server of its own, which leaves nothing open. */
export function testOnServer(
  name: string,
  run: (server: Beanstalk) => Promise<void>,
  options: BeanstalkOptions = {},
): void {
  Deno.test({
    name: `beanstalk: ${name}${reason}`,
    ignore: reason !== "",
    fn: async () => {
      const server = await startBeanstalk(options);
      try {
        const before = resources();
        await inTime(run(server));
        await assertNothingLeft(before);
      } finally {
        await server.stop();
      }
    },
  });
}

/** Fails a test that waits for what does not come. */
async function inTime(running: Promise<void>): Promise<void> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it took a minute")), 60_000);
  try {
    await Promise.race([running, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** A proxy before a server, and the URL that leads through it. */
export function proxyTo(
  server: Beanstalk,
): { readonly proxy: Proxy; readonly url: string } {
  const proxy = Proxy.to(server.url);
  return { proxy, url: `beanstalk://127.0.0.1:${proxy.port}` };
}

/** Connects below `messaging/`, where nothing is tried again. */
export function connect(
  url: string,
  options: Partial<ConnectOptions> = {},
): Promise<TransportConnection> {
  const transport = createTransport();
  return transport.connect(
    fillDefaults(parseUrl(url), transport.defaults ?? {}),
    {
      heartbeat: 10_000,
      transportOptions: {},
      operationTimeout: 10_000,
      owner: crypto.randomUUID(),
      clock: SYSTEM_CLOCK,
      ...options,
    },
  );
}

/** A durable queue without arguments. */
export function queueOf(name: string): QueueDeclaration {
  return {
    name,
    durable: true,
    exclusive: false,
    autoDelete: false,
    arguments: {},
  };
}

/** A reply of the server: its line, and the body behind it. */
export interface RawReply {
  readonly line: string;
  readonly body: Uint8Array;
}

/** beanstalkd's protocol by hand, one command at a time. */
export class RawClient implements Disposable {
  readonly #socket: Deno.Conn;
  #left = new Uint8Array(0);

  private constructor(socket: Deno.Conn) {
    this.#socket = socket;
  }

  /** Dials. */
  static async open({ port }: Beanstalk): Promise<RawClient> {
    return new RawClient(await Deno.connect({ hostname: "127.0.0.1", port }));
  }

  /** Sends a command and waits for its reply. */
  async ask(command: string, body?: string | Uint8Array): Promise<RawReply> {
    await this.#send(encode(`${command}\r\n`));
    if (body !== undefined) {
      await this.#send(typeof body === "string" ? encode(body) : body);
      await this.#send(encode("\r\n"));
    }
    const end = await this.#until(() => {
      const index = this.#left.indexOf(10);
      return index < 0 ? undefined : index;
    });
    const line = new TextDecoder().decode(this.#left.subarray(0, end - 1));
    this.#left = this.#left.slice(end + 1);
    const size = /^(?:RESERVED|FOUND|OK) /.test(line)
      ? Number(line.split(" ").at(-1))
      : undefined;
    if (size === undefined) return { line, body: new Uint8Array(0) };
    await this.#until(() => this.#left.length >= size + 2 ? 0 : undefined);
    const found = this.#left.slice(0, size);
    this.#left = this.#left.slice(size + 2);
    return { line, body: found };
  }

  /** A number of the server's statistics, or of a tube's or a job's. */
  async number(command: string, name: string): Promise<number> {
    const { line, body } = await this.ask(command);
    if (line === "NOT_FOUND") return 0;
    const found = new RegExp(`^${name}: (\\d+)$`, "m")
      .exec(new TextDecoder().decode(body));
    assert(found !== null, `${name} in ${command}`);
    return Number(found[1]);
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  async #until(look: () => number | undefined): Promise<number> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      const count = await this.#socket.read(buffer);
      assert(count !== null, "the server closed the connection");
      const joined = new Uint8Array(this.#left.length + count);
      joined.set(this.#left);
      joined.set(buffer.subarray(0, count), this.#left.length);
      this.#left = joined;
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      sent += await this.#socket.write(bytes.subarray(sent));
    }
  }
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
