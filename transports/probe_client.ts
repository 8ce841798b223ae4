import { connect } from "node:net";

/** A protocol that a server may speak, and the transports in whose URLs it is named. */
export interface Protocol {
  /** Its name, for people. */
  readonly name: string;
  /** How its URLs begin, for people. */
  readonly scheme: string;
  /** The transports that speak it. */
  readonly transports: readonly string[];
}

/** By the first characters of an answer. */
const ANSWERS: readonly (readonly [RegExp, Protocol])[] = [
  [/^AMQP/, {
    name: "AMQP",
    scheme: "amqp://",
    transports: ["amqp", "amqp_client"],
  }],
  [/^(?:\+PONG|-(?:NOAUT|ERR |DENIE|LOADI|NOPER))/, {
    name: "Redis' protocol",
    scheme: "redis://",
    transports: ["redis"],
  }],
  [/^HTTP\/1/, {
    name: "HTTP",
    scheme: "couchdb:// or sqs://",
    transports: ["couchdb", "sqs"],
  }],
  [/^INFO \{/, {
    name: "NATS' protocol",
    scheme: "nats://",
    transports: ["nats"],
  }],
  [/^UNKNOW/, {
    name: "beanstalkd's protocol",
    scheme: "beanstalk://",
    transports: ["beanstalk"],
  }],
  // deno-lint-ignore no-control-regex -- the fourth number of a message's head: OP_MSG
  [/^[^]{12}\xdd\x07\0\0/, {
    name: "MongoDB's protocol",
    scheme: "mongodb://",
    transports: ["mongodb"],
  }],
  // deno-lint-ignore no-control-regex -- an alert: a record's type, and version 3
  [/^\x15\x03/, {
    name: "TLS",
    scheme: "amqps://, rediss:// or the like",
    transports: [],
  }],
];

/** So many bytes of an answer say what it is; a server that sends without end is cut off. */
const ENOUGH = 16;

/** The words that most brokers answer in their own: eight bytes, for RabbitMQ answers when it has a header's worth. */
const PING = "PING\r\n\r\n";

/** `{ hello: 1, $db: "admin" }` as MongoDB is asked, which answers nothing else. */
const HELLO = "\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0" +
  "\x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";

/**
 * Asks what speaks at a port.
 *
 * @param hostname The host.
 * @param port The port.
 * @param patience Milliseconds that it takes at most.
 * @returns The protocol; `undefined` where nobody has answered, or not in a way that is known.
 */
export async function whatSpeaks(
  hostname: string,
  port: number,
  patience: number,
): Promise<Protocol | undefined> {
  const answered = new AbortController();
  const asked = await Promise.all([PING, HELLO].map(async (words) => {
    const found = await ask(hostname, port, patience, words, answered.signal);
    if (found !== undefined) answered.abort();
    return found;
  }));
  return asked.find((each) => each !== undefined);
}

function ask(
  host: string,
  port: number,
  patience: number,
  words: string,
  answered: AbortSignal,
): Promise<Protocol | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let heard = "";
    const timer = setTimeout(end, patience);
    const known = () => ANSWERS.find(([pattern]) => pattern.test(heard))?.[1];
    function end(): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(known());
    }
    socket.on("connect", () => socket.write(words, "latin1"));
    socket.on("data", (bytes) => {
      heard += bytes.subarray(0, ENOUGH).toString("latin1");
      if (heard.length >= ENOUGH || known() !== undefined) end();
    });
    socket.on("error", end);
    socket.on("close", end);
    answered.addEventListener("abort", end);
  });
}
