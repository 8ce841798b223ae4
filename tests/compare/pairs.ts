/** Pairs of programs that do the same, and the page that shows them. */

/** A program of ours beside the same with another library. */
export interface Pair {
  /** The name of both files. */
  readonly name: string;
  readonly title: string;
  readonly rival: string;
  readonly broker: "RabbitMQ" | "Redis" | "SQS";
  /** The differences beside the number of lines. */
  readonly note: string;
}

const NESTED =
  "NestJS retries nothing, and acks before its handlers are called, unless it is told otherwise.";

/** All pairs, each with the library that comes nearest. */
export const PAIRS: readonly Pair[] = [
  {
    name: "work",
    title: "A work queue",
    rival: "amqplib",
    broker: "RabbitMQ",
    note:
      "Dashi connects again, retries a handler that throws, and keeps dead letters besides; with amqplib all three are the program's.",
  },
  {
    name: "retries",
    title: "Retries and dead letters",
    rival: "BullMQ",
    broker: "Redis",
    note:
      "Dashi's dead letters are a queue like any other, which Python's Kombu and other programs can read; BullMQ's are a set of its own.",
  },
  {
    name: "requests",
    title: "Request and reply",
    rival: "rabbitmq-client",
    broker: "RabbitMQ",
    note:
      "An error of the handler reaches the requester as an error, and a request expires with its deadline. rabbitmq-client leaves errors to the program.",
  },
  {
    name: "batches",
    title: "Batches",
    rival: "sqs-consumer",
    broker: "SQS",
    note:
      "Both ack a part of a batch. sqs-consumer has no way to make a queue or to send, so that the program uses AWS's SDK beside it.",
  },
  {
    name: "rates",
    title: "A rate over all processes",
    rival: "BullMQ",
    broker: "Redis",
    note:
      "Both count in Redis. BullMQ's window is fixed, so that twice the limit may begin around its end; Dashi's slides, and may have a key.",
  },
  {
    name: "pauses",
    title: "Pausing a consumer",
    rival: "BullMQ",
    broker: "Redis",
    note: "",
  },
  {
    name: "order",
    title: "Order per key",
    rival: "sqs-consumer",
    broker: "SQS",
    note:
      "sqs-consumer promises nothing for FIFO queues, and says so unless it is told not to. BullMQ has groups in its paid version.",
  },
  {
    name: "schedules",
    title: "A schedule",
    rival: "BullMQ",
    broker: "Redis",
    note: "",
  },
  {
    name: "once",
    title: "Published once",
    rival: "BullMQ",
    broker: "Redis",
    note: "",
  },
  {
    name: "routes",
    title: "Handlers by type",
    rival: "NestJS",
    broker: "RabbitMQ",
    note: NESTED,
  },
  {
    name: "topics",
    title: "A topic exchange",
    rival: "amqp-connection-manager",
    broker: "RabbitMQ",
    note:
      "Both declare everything again after a lost connection. A message that cannot be handled is the program's to reject with amqp-connection-manager.",
  },
];

/** Which of a pair. */
export type Side = "dashi" | "rivals";

/** The file of a program. */
export function fileOf({ name }: Pair, side: Side): URL {
  return new URL(`${side}/${name}.ts`, import.meta.url);
}

/** The text of a program, without what it says to the linter. */
export function textOf(pair: Pair, side: Side): string {
  return Deno.readTextFileSync(fileOf(pair, side))
    .replace(/^\/\/ deno-lint-ignore-file .*\n/, "");
}

/** How many lines a program has that are neither blank nor a comment. */
export function linesOf(text: string): number {
  return text.split("\n").filter((line) => !/^\s*(\/\/.*)?$/.test(line)).length;
}

/** The page, before it is formatted. */
export function page(): string {
  const rows = PAIRS.map((pair) => {
    const [ours, theirs] = [
      linesOf(textOf(pair, "dashi")),
      linesOf(textOf(pair, "rivals")),
    ];
    const link = `[${pair.title}](#${
      pair.title.toLowerCase().replaceAll(" ", "-")
    })`;
    return `| ${link} | ${pair.broker} | ${ours} | ${theirs} | ${pair.rival} |`;
  });
  const sections = PAIRS.map((pair) =>
    `## ${pair.title}

${pair.note}

Dashi:

\`\`\`ts ignore run by deno task compare
${textOf(pair, "dashi").trim()}
\`\`\`

${pair.rival}:

\`\`\`ts ignore run by deno task compare
${textOf(pair, "rivals").trim()}
\`\`\`
`
  );
  return `# Compared

Each program stands beside one that does the same with another library: BullMQ,
amqplib,
amqp-connection-manager, rabbitmq-client, sqs-consumer or NestJS, whichever comes
nearest. Both print the same on a real broker: \`deno task compare\` runs
them all, and fails where that, or a figure below, is not true. Lines that are
blank or comments do not count. The programs of Dashi run on other brokers too;
the rate, the order per key and the message that is published once need a
capability.

| | On | Dashi | The other | |
| --- | --- | --: | --: | --- |
${rows.join("\n")}

${sections.join("\n")}`;
}
