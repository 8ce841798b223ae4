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
  [/^UNKNOW/, {
    name: "beanstalkd's protocol",
    scheme: "beanstalk://",
    transports: ["beanstalk"],
  }],
  // deno-lint-ignore no-control-regex -- an alert: a record's type, and version 3
  [/^\x15\x03/, {
    name: "TLS",
    scheme: "amqps://, rediss:// or the like",
    transports: [],
  }],
];

/** So many bytes of an answer say what it is; a server that sends without end is cut off. */
const ENOUGH = 6;

/**
 * Asks what speaks at a port, by words that most brokers answer in their own: eight
 * bytes, for RabbitMQ answers when it has a header's worth.
 *
 * @param hostname The host.
 * @param port The port.
 * @param patience Milliseconds that it takes at most.
 * @returns The protocol; `undefined` where nobody has answered, or not in a way that is known.
 */
export function whatSpeaks(
  hostname: string,
  port: number,
  patience: number,
): Promise<Protocol | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port });
    let heard = "";
    const timer = setTimeout(end, patience);
    function end(): void {
      clearTimeout(timer);
      socket.destroy();
      resolve(ANSWERS.find(([pattern]) => pattern.test(heard))?.[1]);
    }
    socket.on("connect", () => socket.write("PING\r\n\r\n"));
    socket.on("data", (bytes) => {
      heard += bytes.subarray(0, ENOUGH).toString("latin1");
      if (heard.length >= ENOUGH) end();
    });
    socket.on("error", end);
    socket.on("close", end);
  });
}
