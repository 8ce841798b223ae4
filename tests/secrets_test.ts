/**
 * No error, event or text of a connection shows a secret, on any transport, whatever goes
 * wrong: all that can be reached from them is walked, and printed as logs do it.
 */

import { assert, assertEquals } from "@std/assert";
import {
  type Connection,
  type ConnectionOptions,
  createConnection,
  Queue,
} from "@dashi/mq";
import { freePort } from "./brokers/server.ts";
import { arrives, unique } from "./conformance/support.ts";
import { certificates, hasOpenssl } from "./support/certificates.ts";
import { Proxy } from "./support/proxy.ts";
import { ECHOES, leaks } from "./support/secrets.ts";
import { type Target, TARGETS } from "./support/targets.ts";

const USER = "dAsHiUsEr";
const PASSWORD = "Zx9-sEcReT-pw";
const TOKEN = "tOkEn-sEcReT-vv";
const SECRETS = [PASSWORD, TOKEN];

/** The options that a connection is made with, and the server between it and its broker. */
interface Situation {
  readonly name: string;
  /** Makes the URL that is dialled of the broker's. */
  readonly url: (broker: string, place: Place) => string;
  readonly options?: ConnectionOptions;
  /** Aborts what is called as soon as it waits. */
  readonly aborts?: boolean;
  /** How to try again; then there are events too. @default {not at all} */
  readonly reconnect?: ConnectionOptions["reconnect"];
}

/** The server that listens in the broker's place. */
interface Place {
  readonly stalling: Proxy;
  readonly hanging: Proxy;
  readonly tls: Proxy | undefined;
  readonly echoes: readonly number[];
}

const SITUATIONS: readonly Situation[] = [
  { name: "a login that is refused", url: (broker) => withLogin(broker) },
  {
    name: "a password function, and a login that is refused",
    url: (broker) => withLogin(broker, ""),
    options: { password: () => Promise.resolve(PASSWORD) },
  },
  {
    name: "a password as an option",
    url: (broker) => withLogin(broker, ""),
    options: { password: PASSWORD },
  },
  {
    name: "a port where nobody listens",
    url: (broker) => at(withLogin(broker), freePort()),
    reconnect: { attempts: 2, initialDelay: 1, maxDelay: 1 },
  },
  {
    name: "several URLs, of none of which anybody listens",
    url: (broker) =>
      [1, 2].map(() => at(withLogin(broker), freePort())).join(";"),
  },
  {
    name: "TLS where none is spoken",
    url: (broker) => withLogin(broker),
    options: { tls: true },
  },
  {
    name: "no TLS where it is spoken",
    url: (broker, { tls }) => at(withLogin(broker), tls?.port ?? freePort()),
  },
  {
    name: "TLS that is not to be trusted",
    url: (broker, { tls }) => at(withLogin(broker), tls?.port ?? freePort()),
    options: { tls: true },
  },
  {
    name: "a client's key that is none",
    url: (broker) => withLogin(broker),
    options: {
      tls: {
        cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        key: `-----BEGIN PRIVATE KEY-----\n${TOKEN}\n-----END PRIVATE KEY-----`,
        passphrase: TOKEN,
      },
    },
  },
  {
    name: "a virtual host, or database, that is not there",
    url: (broker) => withPath(withLogin(broker), "nowhere-77"),
  },
  {
    name: "a virtual host of an odd name",
    url: (broker) => withPath(withLogin(broker), "%00%0A$.x"),
  },
  {
    name: "a broker that is silent",
    url: (broker, { stalling }) => at(withLogin(broker), stalling.port),
    options: { connectTimeout: 500, operationTimeout: 500 },
  },
  {
    name: "a call that is aborted",
    url: (broker, { stalling }) => at(withLogin(broker), stalling.port),
    aborts: true,
  },
  {
    name: "a broker that hangs up",
    url: (broker, { hanging }) => at(withLogin(broker), hanging.port),
  },
  {
    name: "an option that nobody knows",
    url: (broker) => `${withLogin(broker)}${mark(broker)}no_such_option=1`,
  },
  {
    name: "an option of the wrong type",
    url: (broker) => withLogin(broker, ""),
    options: { password: [PASSWORD] as never },
  },
  {
    name: "options of the transport that are of the wrong type",
    url: (broker) => withLogin(broker),
    options: {
      transportOptions: {
        sessionToken: [TOKEN],
        sentinelPassword: [TOKEN],
        credentials: { secretAccessKey: TOKEN },
        clientProperties: TOKEN,
        auth: TOKEN,
      },
    },
  },
  ...ECHOES.map((_, i): Situation => ({
    name: `a server that says what it was told (${i + 1})`,
    url: (broker, { echoes }) => at(withLogin(broker), echoes[i] ?? 1),
  })),
];

function mark(url: string): string {
  return url.includes("?") ? "&" : "?";
}

/** The URL with a login that nobody has. */
function withLogin(url: string, password: string = PASSWORD): string {
  const login = password === "" ? USER : `${USER}:${password}`;
  return url.replace(/:\/\/(?:[^@/]*@)?/, `://${login}@`);
}

function at(url: string, port: number): string {
  return url.replace(
    /^(\w[\w+-]*:\/\/(?:[^@/]*@)?)[^/?;]*/,
    `$1127.0.0.1:${port}`,
  );
}

function withPath(url: string, path: string): string {
  return url.replace(/^([\w+-]+:\/\/[^/?]*)[^?]*/, `$1/${path}`);
}

/** Does with it what programs do first; returns all that is thrown, told and shown. */
async function use(
  make: () => Connection,
  aborts: boolean,
): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  let connection: Connection;
  try {
    connection = make();
  } catch (error) {
    return [error];
  }
  const listening = (async () => {
    for await (const event of connection.events()) seen.push(event);
  })();
  const limits = () => {
    if (!aborts) return {};
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 50);
    return { signal: controller.signal };
  };
  const queue = new Queue(unique("secrets"), { autoDelete: true });
  const consumer = connection.consumer(queue);
  const calls: readonly (() => Promise<unknown>)[] = [
    () => connection.connect(limits()),
    () => connection.declare(queue, limits()),
    () =>
      connection.producer().publish(1, {
        routingKey: unique("nobody"),
        ...limits(),
      }),
    () => connection.channel(limits()),
  ];
  for (const call of calls) {
    // Some brokers know no users, and do all that.
    await call().then(() => {}, (error) => void seen.push(error));
    if (seen.some((each) => each instanceof Error)) break;
  }
  seen.push(
    connection.state,
    connection.info(),
    connection.asUri(),
    connection,
    consumer,
  );
  await connection.close().catch((error) => void seen.push(error));
  await listening;
  return seen;
}

/** Says again what it hears. */
function echo(form: (said: string) => string): Deno.TcpListener {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async (socket: Deno.Conn) => {
    const bytes = new Uint8Array(65_536);
    try {
      for (;;) {
        const count = await socket.read(bytes);
        if (count === null) break;
        const said = new TextDecoder().decode(bytes.subarray(0, count));
        await socket.write(new TextEncoder().encode(form(said)));
        if (form !== ECHOES[1]) break;
      }
    } catch {
      // It was cut off.
    }
    socket.close();
  };
  (async () => {
    for await (const socket of listener) void serve(socket);
  })().catch(() => {});
  return listener;
}

for (const target of TARGETS) {
  const { name, url, reason } = target;
  Deno.test({
    name: `${name}: whatever goes wrong, no secret is shown${
      url === undefined ? ` (${reason})` : ""
    }`,
    ignore: url === undefined,
    // Drivers' timers outlive a dial that was given up, for a while.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: (context) => walk(context, target, url ?? ""),
  });
}

async function walk(
  context: Deno.TestContext,
  { name }: Target,
  broker: string,
): Promise<void> {
  await using stalling = Proxy.to(broker);
  await using hanging = Proxy.to(broker);
  stalling.stall();
  hanging.hangUp();
  const folder = await Deno.makeTempDir();
  const isTls = await hasOpenssl();
  if (isTls) await certificates(folder);
  const read = (file: string) => Deno.readTextFileSync(`${folder}/${file}`);
  await using tls = isTls
    ? Proxy.tlsTo(broker, { cert: read("server.pem"), key: read("server.key") })
    : undefined;
  const echoes = ECHOES.map(echo);
  let errors = 0;
  try {
    for (const situation of SITUATIONS) {
      await context.step(situation.name, async () => {
        const seen = await arrives(
          use(
            () =>
              createConnection(
                situation.url(broker, {
                  stalling,
                  hanging,
                  tls,
                  echoes: echoes.map(({ addr }) => addr.port),
                }),
                {
                  transport: name,
                  connectTimeout: 2000,
                  operationTimeout: 1000,
                  reconnect: situation.reconnect ?? false,
                  ...situation.options,
                },
              ),
            situation.aborts ?? false,
          ),
          "an end",
          60_000,
        );
        errors += seen.filter((each) => each instanceof Error).length;
        assertEquals([...new Set(leaks(seen, SECRETS))], []);
      });
    }
  } finally {
    for (const listener of echoes) listener.close();
    await Deno.remove(folder, { recursive: true });
  }
  assert(errors > SITUATIONS.length / 2, `there were only ${errors} errors`);
}
