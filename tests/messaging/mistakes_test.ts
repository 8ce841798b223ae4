/**
 * The mistakes of newcomers, and the texts of their errors: they name the value that was
 * given, its place, and a right one. Much of it comes from JavaScript or JSON, which no
 * compiler has seen: `loose` stands for that.
 */

import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  createConnection,
  Exchange,
  Queue,
} from "../../mod.ts";
import { createOutbox } from "../../messaging/outbox/mod.ts";
import { createSqlInbox } from "../../messaging/inbox/sql_inbox.ts";
import type { OperationOptions } from "../../messaging/operation_options.ts";
import { inTransaction } from "../../transports/in_transaction.ts";
import { cannotLoad } from "../../transports/load_error.ts";

/** As a program without types has it. */
// deno-lint-ignore no-explicit-any
const loose = (value: unknown): any => value;

interface Mistake {
  readonly name: string;
  /** Does it; returns or throws. */
  readonly make: () => unknown;
  /** The kind of the error. */
  readonly error: string;
  /** The words that its text must contain. */
  readonly words: readonly string[];
}

let made: Connection[] = [];
const memory = () => {
  const connection = createConnection(`memory://${crypto.randomUUID()}`);
  made.push(connection);
  return connection;
};

const MISTAKES: readonly Mistake[] = [
  {
    name: "a key that is no text",
    make: () => memory().send(new Queue("q"), 1, { key: loose(7) }),
    error: "OptionError",
    words: ['"key"', "7", "1 to 128 bytes"],
  },
  {
    name: "a producer's key that is too long",
    make: () => memory().producer({ queue: "q", key: "ü".repeat(65) }),
    error: "OptionError",
    words: ['"key"', "1 to 128 bytes"],
  },
  {
    name: "a key by the name that it has at AWS",
    make: () =>
      memory().send(new Queue("q"), 1, loose({ MessageGroupId: "7" })),
    error: "OptionError",
    words: ['"MessageGroupId"', '"key"'],
  },
  {
    name: "a key of an outbox's message by that name",
    make: () => {
      const connection = createConnection("sqlite::memory:");
      made.push(connection);
      return createOutbox(connection).publish(
        1,
        loose({ queue: "q", transaction: {}, MessageGroupId: "7" }),
      );
    },
    error: "OptionError",
    words: ['"MessageGroupId"', "outbox.publish", '"key"'],
  },
  {
    name: "an ordered queue of no partitions",
    make: () => new Queue("q", { ordered: { partitions: 0 } }),
    error: "RangeError",
    words: ['"q"', '"ordered.partitions"', "from 1 to 256"],
  },
  {
    name: "an ordered queue with a misspelt option",
    make: () => new Queue("q", { ordered: loose({ partition: 3 }) }),
    error: "OptionError",
    words: ['"partition"', '"partitions"'],
  },
  {
    name: "an ordered queue with priorities",
    make: () =>
      memory().declare(new Queue("q", { ordered: true, maxPriority: 3 })),
    error: "PreconditionFailedError",
    words: ['"q"', '"x-ordered"', '"x-max-priority"'],
  },
  {
    name: "an ordered run of a queue that is not ordered",
    make: () =>
      memory().consumer(new Queue("q")).run(() => {}, { ordered: true }),
    error: "OptionError",
    words: ['"q"', "new Queue", "ordered: true"],
  },
  {
    name: "an ordered run with autoAck",
    make: () =>
      memory().consumer("q", { autoAck: true }).run(() => {}, {
        ordered: true,
      }),
    error: "OptionError",
    words: ['"ordered"', "autoAck"],
  },
  {
    name: "an ordered run that is told so by a text",
    make: () => memory().consumer("q").run(() => {}, { ordered: loose("yes") }),
    error: "OptionError",
    words: ['"yes"', '"ordered"', "true or false"],
  },
  {
    name: "ordered batches",
    make: () =>
      memory().consumer("q").runBatches(() => {}, loose({ ordered: true })),
    error: "OptionError",
    words: ['"ordered"', 'an option of "run"'],
  },
  {
    name: "batches of an ordered queue",
    make: () =>
      memory().consumer(new Queue("q", { ordered: true })).runBatches(() => {}),
    error: "OptionError",
    words: ['"q"', '"run"'],
  },
  {
    name: "a pause that would delete the queue",
    make: () => memory().consumer(new Queue("q", { exclusive: true })).pause(),
    error: "OptionError",
    words: ['"q"', "with its messages", "autoDelete: false"],
  },
  {
    name: "a circuit breaker without a rest",
    make: () =>
      memory().consumer("q").run(() => {}, {
        breaker: loose({ failures: 5, within: 1000 }),
      }),
    error: "RangeError",
    words: ['"rest"', "milliseconds"],
  },
  {
    name: "a circuit breaker of no failures",
    make: () =>
      memory().consumer("q").serve(() => 1, {
        breaker: { failures: 0, within: 1000, rest: 1000 },
      }),
    error: "RangeError",
    words: ["0", '"failures"', "from 1"],
  },
  {
    name: "a circuit breaker that never forgets",
    make: () =>
      memory().consumer("q").runBatches(() => {}, {
        breaker: { failures: 5, within: Infinity, rest: 1000 },
      }),
    error: "RangeError",
    words: ["Infinity", '"within"'],
  },
  {
    name: "a circuit breaker by another library's words",
    make: () =>
      memory().consumer("q").route({ a: () => {} }, {
        breaker: loose({ failures: 5, within: 1000, resetTimeout: 1000 }),
      }),
    error: "OptionError",
    words: ["resetTimeout", '"rest"'],
  },
  {
    name: "a circuit breaker that would delete the queue",
    make: () =>
      memory().consumer(new Queue("q", { exclusive: true })).run(() => {}, {
        breaker: { failures: 5, within: 1000, rest: 1000 },
      }),
    error: "OptionError",
    words: ['"breaker"', '"q"', "autoDelete: false"],
  },
  {
    name: "a circuit breaker beside another run",
    make: async () => {
      const consumer = memory().consumer(new Queue("q"));
      const running = consumer.run(() => {});
      try {
        await consumer.run(() => {}, {
          breaker: { failures: 5, within: 1000, rest: 1000 },
        });
      } finally {
        await consumer.close();
        await running;
      }
    },
    error: "OptionError",
    words: ["twice", '"breaker"', "another consumer"],
  },
  {
    name: "a rate over all processes of messages that are acked already",
    make: () =>
      memory().consumer("q", { autoAck: true }).run(() => {}, {
        rateLimit: { limit: 1, interval: 1000, scope: "queue" },
      }),
    error: "OptionError",
    words: ["autoAck", '"queue"'],
  },
  {
    name: "a rate by another library's words",
    make: () =>
      memory().consumer("q").run(() => {}, {
        rateLimit: loose({ max: 1, duration: 1000 }),
      }),
    error: "OptionError",
    words: ["max", '"limit"'],
  },
  {
    name: "a rate by key of messages that are acked already",
    make: () =>
      memory().consumer("q", { autoAck: true }).run(() => {}, {
        rateLimit: { limit: 1, interval: 1000, key: () => "a" },
      }),
    error: "OptionError",
    words: ["autoAck", '"key"'],
  },
  {
    name: "a concurrency of no handler",
    make: () => memory().consumer("q").setConcurrency(2),
    error: "OptionError",
    words: ["without a handler", '"run"'],
  },
  {
    name: "a prefetch of none, at run time",
    make: () => memory().consumer("q").setPrefetch(0),
    error: "RangeError",
    words: ["0", '"prefetch"', "from 1 to 65535"],
  },
  {
    name: "a URL from a variable that is not set",
    make: () => createConnection(loose(undefined)),
    error: "TypeError",
    words: ["undefined", "amqp://user:password@host", "environment variable"],
  },
  {
    name: "a simple queue with an option that nobody knows",
    make: () => memory().simpleQueue("q", loose({ serialiser: "json" })),
    error: "OptionError",
    words: ["serialiser", "serializer"],
  },
  {
    name: "a queue by nothing",
    make: () => memory().queue(loose(undefined)),
    error: "TypeError",
    words: ["undefined"],
  },
  {
    name: "a request without an address",
    make: () => memory().request(1, {}),
    error: "TypeError",
    words: [`give "routingKey", which is the queue's name`],
  },
  {
    name: "a request to a queue by an option of others",
    make: () => memory().request(1, loose({ queue: "q" })),
    error: "OptionError",
    words: ['"queue" of request', `"routingKey": the queue's name`],
  },
  {
    name: "a request that makes its reply queue itself",
    make: () =>
      memory().request(1, loose({ routingKey: "q", replyTo: "mine" })),
    error: "OptionError",
    words: ['"replyTo" of request', "made by itself"],
  },
  {
    name: "a route without a handler",
    make: () => memory().consumer("q").route({ "order.created": loose({}) }),
    error: "TypeError",
    words: ['type "order.created"', "or { schema, handler }"],
  },
  {
    name: "routes of none",
    make: () => memory().consumer("q").route(loose({})),
    error: "TypeError",
    words: ["a handler for each type of message"],
  },
  ...(["run", "runBatches", "serve", "route"] as const).map((verb) => ({
    name: `options of ${verb} that are null`,
    make: () => loose(memory().consumer("q"))[verb]({ a: () => {} }, null),
    error: "OptionError",
    words: ["null", `the options of ${verb}`, "an object"],
  })),
  {
    name: "a schedule of a date that never comes",
    make: () =>
      memory().schedule("leap", { cron: "0 0 30 2 *" }, { queue: "q" }),
    error: "OptionError",
    words: ['"0 0 30 2 *"', '"cron"', "never ticks"],
  },
  {
    name: "a schedule whose messages nobody could publish",
    make: () => {
      const options = { queue: "q", type: "t".repeat(300) };
      return memory().schedule("long", { every: 1000 }, options);
    },
    error: "RangeError",
    words: ["as type", "300 bytes", "255"],
  },
  {
    name: "a schedule's name that has no form in UTF-8",
    make: () => memory().schedule("\ud800", { every: 1000 }, { queue: "q" }),
    error: "OptionError",
    words: ["the name of a schedule", "1 to 200 bytes"],
  },
  {
    name: "options of send that are null",
    make: () => memory().send("q", 1, loose(null)),
    error: "OptionError",
    words: ["null", "the options of publish", "an object"],
  },
  {
    name: "a type to accept that is a number",
    make: () => memory().consumer("q", { accept: loose([5]) }).run(() => {}),
    error: "OptionError",
    words: ["Cannot accept 5", "a MIME type"],
  },
  {
    name: "a request without any options",
    make: () => loose(memory()).request(1),
    error: "TypeError",
    words: [`give "routingKey", which is the queue's name`],
  },
  {
    name: "a schedule without a place",
    make: () => loose(memory()).schedule("nightly", { every: 1000 }),
    error: "OptionError",
    words: ['"nightly"', "say where it publishes to"],
  },
  {
    name: "another time of a delayed message that is not said",
    make: () => loose(memory().queue("q")).reschedule("7"),
    error: "RangeError",
    words: ["undefined", '"delay"', "milliseconds"],
  },
  {
    name: "headers of a schedule that hold themselves",
    make: () => {
      const headers: Record<string, unknown> = {};
      headers["again"] = [headers, headers];
      const options = { queue: "q", headers: loose(headers) };
      return memory().schedule("s", { every: 1000 }, options);
    },
    error: "OptionError",
    words: ["with these headers", "as JSON has them"],
  },
  {
    name: "options of publishAll that are promised",
    make: async () => {
      const { failed: [first] } = await memory().producer({ queue: "q" })
        .publishAll([1], { each: loose(async () => await { key: "7" }) });
      throw first?.error;
    },
    error: "OptionError",
    words: ["a promise of options", '"each" of publishAll', "at once"],
  },
  {
    name: "a group of a rate that is promised",
    make: async () => {
      const connection = memory();
      const queue = new Queue("q");
      await connection.send(queue, 1);
      const consumer = connection.consumer(queue);
      let told: Error | undefined;
      await consumer.run(() => {}, {
        rateLimit: {
          limit: 1,
          interval: 1000,
          key: loose(async () => await "a"),
        },
        retry: false,
        onError: (error) => {
          told = error;
          void consumer.cancel();
        },
      });
      throw told;
    },
    error: "OptionError",
    words: ["the group of a message", '"key" of rateLimit', "a string"],
  },
  {
    name: "a policy for unknown types that there is not",
    make: () =>
      memory().consumer("q").route({ a: () => {} }, loose({ unknown: "drop" })),
    error: "OptionError",
    words: ['"drop"', '"unknown" of route', '"park", "skip" or "throw"'],
  },
  {
    name: "a handler of serve that is no function",
    make: () => memory().consumer("q").serve(loose({ handler: 1 })),
    error: "TypeError",
    words: ["Cannot serve by", "must be a function"],
  },
  {
    name: "a timeout where requests are served",
    make: () => memory().consumer("q").serve(() => 1, loose({ timeout: 5 })),
    error: "OptionError",
    words: ['"timeout" of serve', 'an option of "connection.request"'],
  },
  {
    name: "an empty URL",
    make: () => createConnection(""),
    error: "TypeError",
    words: ["empty URL", "redis://host:6379"],
  },
  {
    name: "a list of no URLs",
    make: () => createConnection([]),
    error: "TypeError",
    words: ["empty URL"],
  },
  {
    name: "a host without a scheme, at a port that tells",
    make: () => createConnection("localhost:6379"),
    error: "SyntaxError",
    words: ["without a scheme", `"redis://"`],
  },
  {
    name: "a host without a scheme",
    make: () => createConnection("127.0.0.1"),
    error: "SyntaxError",
    words: ["without a scheme", "amqp://user:password@host"],
  },
  {
    name: "another name for a scheme",
    make: () => createConnection("rabbitmq://localhost"),
    error: "TransportError",
    words: ["rabbitmq", `did you mean "amqp"?`],
  },
  {
    name: "a password that is not encoded",
    make: () => createConnection("amqp://user:p@ss/w#rd@127.0.0.1:25673//"),
    error: "SyntaxError",
    words: [`"/" in its user or password`, "%2F"],
  },
  {
    name: "an option of the connection, misspelt",
    make: () => createConnection("memory://", loose({ conectTimeout: 5 })),
    error: "OptionError",
    words: [`"conectTimeout" of createConnection`, `"connectTimeout"`],
  },
  {
    name: "an option in an option, misspelt",
    make: () =>
      createConnection("memory://", loose({ reconnect: { atempts: 1 } })),
    error: "OptionError",
    words: [`"atempts"`, `"reconnect" of createConnection`, `"attempts"`],
  },
  {
    name: "an option of the connection by its former name",
    make: () => createConnection("memory://", loose({ retry: false })),
    error: "OptionError",
    words: [`"retry" of createConnection`, `here it is "reconnect"`],
  },
  {
    name: "the user by its former name",
    make: () => createConnection("memory://", loose({ userid: "me" })),
    error: "OptionError",
    words: [`"userid" of createConnection`, `here it is "username"`],
  },
  {
    name: "an option of a consumer by its former name",
    make: () => memory().consumer("q", loose({ noAck: true })),
    error: "OptionError",
    words: [`"noAck" of connection.consumer`, `here it is "autoAck"`],
  },
  {
    name: "a schema that is none",
    make: () => memory().consumer("q", loose({ schema: { type: "object" } })),
    error: "TypeError",
    words: [`"schema" of connection.consumer`, "Standard Schema", "Zod"],
  },
  {
    name: "a queue's schema that is none",
    make: () => new Queue("orders", loose({ schema: "order" })),
    error: "TypeError",
    words: [`"order"`, `"schema" of queue "orders"`],
  },
  {
    name: "a wait by its former name",
    make: () =>
      createConnection("memory://", loose({ reconnect: { firstDelay: 1 } })),
    error: "OptionError",
    words: [`"firstDelay" of "reconnect"`, `here it is "initialDelay"`],
  },
  {
    name: "a wait between calls by a name that it has elsewhere",
    make: () =>
      memory().consumer("q").run(() => {}, {
        retry: { attempts: 2, ...loose({ delay: 100 }) },
      }),
    error: "OptionError",
    words: [`"delay"`, `here it is "initialDelay"`],
  },
  {
    name: "waits that never grow less, nor more by chance than all",
    make: () => createConnection("memory://", { reconnect: { jitter: 20 } }),
    error: "RangeError",
    words: ["20", `"reconnect.jitter"`, "from 0 to 1"],
  },
  {
    name: "waits between calls in an object of their own",
    make: () =>
      memory().consumer("q").run(() => {}, {
        retry: { attempts: 2, ...loose({ backoff: { firstDelay: 1 } }) },
      }),
    error: "OptionError",
    words: [`"retry.backoff"`, "initialDelay", `beside "attempts"`],
  },
  {
    name: "waits of one's own beside others",
    make: () =>
      memory().consumer("q").run(() => {}, {
        retry: { attempts: 2, backoff: 5, jitter: 1 },
      }),
    error: "OptionError",
    words: [`"retry.backoff" beside "retry.jitter"`],
  },
  {
    name: "TLS by its former name",
    make: () => createConnection("redis://h", loose({ ssl: true })),
    error: "OptionError",
    words: [`"ssl" of createConnection`, `"tls"`],
  },
  {
    name: "TLS as node:tls has it",
    make: () =>
      createConnection("redis://h", {
        tls: loose({ rejectUnauthorized: false }),
      }),
    error: "OptionError",
    words: [`"rejectUnauthorized" of "tls"`, `did you mean "verify"?`],
  },
  {
    name: "TLS in a URL by the name of the option",
    make: () => {
      const connection = createConnection("memory://?tls=1");
      made.push(connection);
      return connection.connect();
    },
    error: "OptionError",
    words: [`"tls" of a URL`, `did you mean "ssl"?`],
  },
  {
    name: "a delay in words",
    make: () =>
      memory().producer().publish(1, { routingKey: "q", delay: loose("5s") }),
    error: "RangeError",
    words: [`delay "5s"`, `a number`, `milliseconds`],
  },
  {
    name: "a heartbeat in words",
    make: () => createConnection("memory://", { heartbeat: loose("5s") }),
    error: "RangeError",
    words: [`"5s" as "heartbeat"`, `milliseconds`],
  },
  {
    name: "a time to live in words",
    make: () => new Queue("q", { messageTtl: loose("1m") }),
    error: "RangeError",
    words: [`"messageTtl" "1m"`, `milliseconds`],
  },
  {
    name: "a length in words",
    make: () => new Queue("q", { maxLength: loose("5") }),
    error: "RangeError",
    words: [`"maxLength" "5"`, `a number`],
  },
  {
    name: "yes in place of true",
    make: () => new Queue("q", { durable: loose("no") }),
    error: "OptionError",
    words: [`"no" as the option "durable" of a Queue`, `true or false`],
  },
  {
    name: "a text in place of a flag",
    make: () =>
      memory().producer().publish(1, {
        routingKey: "q",
        persistent: loose("yes"),
      }),
    error: "OptionError",
    words: [`"yes" as the option "persistent" of publish`, `true or false`],
  },
  {
    name: "dedupe without a window",
    make: () =>
      memory().producer().publish(1, {
        routingKey: "q",
        dedupe: loose({ id: "7" }),
      }),
    error: "OptionError",
    words: [`dedupe without "window"`, `milliseconds`],
  },
  {
    name: "dedupe without an id",
    make: () =>
      memory().producer().publish(1, {
        routingKey: "q",
        dedupe: { window: 1000 },
      }),
    error: "OptionError",
    words: [`dedupe without an id`, `"id"`, `"messageId"`],
  },
  {
    name: "a window in words",
    make: () =>
      memory().producer().publish(1, {
        routingKey: "q",
        dedupe: { id: "7", window: loose("5m") },
      }),
    error: "RangeError",
    words: [`dedupe.window "5m"`, `milliseconds`],
  },
  {
    name: "another library's name for the window",
    make: () =>
      memory().producer().publish(1, {
        routingKey: "q",
        dedupe: loose({ id: "7", ttl: 1000 }),
      }),
    error: "OptionError",
    words: [`"ttl" of dedupe`, `"window"`],
  },
  {
    name: "one id for all messages of a producer",
    make: () => memory().producer({ dedupe: { id: "7", window: 1000 } }),
    error: "OptionError",
    words: [`"id" of dedupe`, `each message has its own`],
  },
  {
    name: "a request that may be a duplicate",
    make: () =>
      memory().request(1, loose({ routingKey: "q", dedupe: { window: 1 } })),
    error: "OptionError",
    words: [`"dedupe" of request`, `the one who asked first`],
  },
  {
    name: "an inbox that is none",
    make: () =>
      memory().consumer("q").run(() => {}, { inbox: loose({ window: 1 }) }),
    error: "OptionError",
    words: [`"inbox" of run`, `createMemoryInbox`],
  },
  {
    name: "a key without an inbox",
    make: () => memory().consumer("q").run(() => {}, { inboxKey: () => "7" }),
    error: "OptionError",
    words: [`"inboxKey" of run without "inbox"`],
  },
  {
    name: "headers that are a text",
    make: () =>
      memory().producer().publish(1, { routingKey: "q", headers: loose("x") }),
    error: "OptionError",
    words: [`"x" as the option "headers" of publish`, `an object`],
  },
  {
    name: "a serializer that is a number",
    make: () => memory().producer(loose({ serializer: 5 })),
    error: "OptionError",
    words: [`5 as the option "serializer"`, `a string`],
  },
  {
    name: "a type to accept that is no list",
    make: () => memory().consumer("q", { accept: loose("json") }),
    error: "OptionError",
    words: [`"json" as the option "accept"`, `an array`],
  },
  {
    name: "a listener that is none",
    make: () => memory().consumer("q").run(() => {}, { onError: loose("log") }),
    error: "OptionError",
    words: [`"log" as the option "onError" of run`, `a function`],
  },
  {
    name: "a transport that is a number",
    make: () => createConnection("memory://", { transport: loose(5) }),
    error: "OptionError",
    words: [
      `5 as the option "transport"`,
      `a string or an object or a function`,
    ],
  },
  {
    name: "a limit of time in words",
    make: () =>
      memory().consumer("q").run(() => {}, { drainTimeout: loose("5s") }),
    error: "RangeError",
    words: [`"5s" as "drainTimeout"`, `milliseconds`],
  },
  {
    name: "an exchange of a type that is none",
    make: () => new Exchange("x", { type: loose(5) }),
    error: "TypeError",
    words: [`of type 5`, `topic`],
  },
  {
    name: "nothing as a payload",
    make: () => memory().send("q", undefined),
    error: "EncodeError",
    words: [`it is undefined`, `null`],
  },
  {
    name: "the host as other libraries call it",
    make: () => createConnection(loose({ host: "h" })),
    error: "OptionError",
    words: [`"host" of createConnection`, `here it is "hostname"`],
  },
  {
    name: "the virtual host as amqplib calls it",
    make: () => createConnection(loose({ vhost: "v" })),
    error: "OptionError",
    words: [`"vhost" of createConnection`, `here it is "virtualHost"`],
  },
  {
    name: "how many at once, in the wrong place",
    make: () => memory().consumer("q", loose({ concurrency: 5 })),
    error: "OptionError",
    words: [`"concurrency" of connection.consumer`, `an option of "run"`],
  },
  {
    name: "the attempts, in the wrong place",
    make: () => memory().consumer("q").run(() => {}, loose({ attempts: 5 })),
    error: "OptionError",
    words: [`"attempts" of run`, `"attempts" of "retry"`],
  },
  {
    name: "a queue for dead letters as AWS calls it",
    make: () => new Queue("q", loose({ deadLetterQueue: "d" })),
    error: "OptionError",
    words: [`"deadLetterQueue" of a Queue`, `"deadLetter"`],
  },
  {
    name: "an option of a consumer, misspelt",
    make: () => memory().consumer("q", loose({ prefech: 1 })),
    error: "OptionError",
    words: [`"prefech" of connection.consumer`, `"prefetch"`],
  },
  {
    name: "an option of a producer, misspelt",
    make: () => memory().producer(loose({ exchnge: "x" })),
    error: "OptionError",
    words: [`"exchnge" of connection.producer`, `"exchange"`],
  },
  {
    name: "an option of a message, misspelt",
    make: () =>
      memory().producer().publish(
        1,
        loose({
          routingKey: "q",
          persistant: true,
        }),
      ),
    error: "OptionError",
    words: [`"persistant" of publish`, `"persistent"`],
  },
  {
    name: "an option of a queue, misspelt",
    make: () => new Queue("q", loose({ deadLeterExchange: "x" })),
    error: "OptionError",
    words: [`"deadLeterExchange" of a Queue`, `"deadLetterExchange"`],
  },
  {
    name: "an option of an exchange, misspelt",
    make: () => new Exchange("x", loose({ tpye: "topic" })),
    error: "OptionError",
    words: [`"tpye" of an Exchange`, `"type"`],
  },
  {
    name: "an option of run, misspelt",
    make: () => memory().consumer("q").run(() => {}, loose({ concurency: 2 })),
    error: "OptionError",
    words: [`"concurency" of run`, `"concurrency"`],
  },
  {
    name: "an option of a call, misspelt",
    make: () => memory().connect(loose({ timout: 2 })),
    error: "OptionError",
    words: [`"timout"`, `"timeout"`],
  },
  {
    name: "a controller in place of its signal",
    make: () => memory().connect(loose({ signal: new AbortController() })),
    error: "OptionError",
    words: [`"signal"`, "AbortSignal"],
  },
  {
    name: "options that are none",
    make: () => memory().producer(loose("orders")),
    error: "OptionError",
    words: [`"orders"`, "connection.producer", "object"],
  },
  {
    name: "a name in declare",
    make: () =>
      memory().producer(loose({ declare: ["jobs"] })).publish(1, {
        routingKey: "jobs",
      }),
    error: "TypeError",
    words: [`"jobs"`, `"declare" of connection.producer`, "new Queue"],
  },
  {
    name: "a name in connection.declare",
    make: () => memory().declare(loose("jobs")),
    error: "TypeError",
    words: [`"jobs"`, "connection.declare", "new Queue"],
  },
  {
    name: "a queue in place of an exchange",
    make: () => memory().producer({ exchange: loose(new Queue("q")) }),
    error: "TypeError",
    words: [`"exchange"`, `"routingKey"`],
  },
  {
    name: "no routing key",
    make: () => memory().producer().publish(1),
    error: "TypeError",
    words: ["without a routing key", `"routingKey"`, `"exchange"`],
  },
  {
    name: "a handler that is none",
    make: () => memory().consumer("q").run(loose(undefined)),
    error: "TypeError",
    words: ["Cannot run undefined", "function that takes a message"],
  },
  {
    name: "a queue without a name",
    make: () => new Queue(loose(undefined)),
    error: "TypeError",
    words: ["a queue of the name undefined", `""`],
  },
  {
    name: "a queue with a name that no broker takes",
    make: () => new Queue("q".repeat(256)),
    error: "RangeError",
    words: ["queue name", "255"],
  },
  {
    name: "an exchange with a name that no broker takes",
    make: () => new Exchange("x".repeat(256)),
    error: "RangeError",
    words: ["exchange name", "255"],
  },
  {
    name: "a consumer of a name that is not set",
    make: () => memory().consumer(loose(undefined)),
    error: "TypeError",
    words: ["a consumer of undefined", "Queue"],
  },
  {
    name: "a promise as a payload",
    make: () =>
      memory().producer().publish({ user: Promise.resolve(1) }, {
        routingKey: "q",
      }),
    error: "EncodeError",
    words: ["payload.user", "promise", "await"],
  },
  {
    name: "a queue that is not there",
    make: () => memory().producer().publish(1, { routingKey: "typo" }),
    error: "UnroutableError",
    words: [`queue "typo"`, "declare it first"],
  },
  {
    name: "an exchange that is not there",
    make: () => memory().producer({ exchange: "nope" }).publish(1),
    error: "NotFoundError",
    words: [`Cannot publish to exchange "nope"`, "new Exchange", `"queue"`],
  },
  {
    name: "a client that is not installed",
    make: () => {
      throw cannotLoad("redis", new Error("Cannot find package 'ioredis'"));
    },
    error: "TransportError",
    words: [`transport "redis"`, "npm install ioredis", "deno add npm:ioredis"],
  },
  {
    name: "a client that is installed, but cannot run",
    make: () => {
      const cause = new Error("Cannot find package 'denque'");
      throw cannotLoad("redis", new TypeError("no client", { cause }));
    },
    error: "TransportError",
    words: ["ioredis cannot be imported: Cannot find package 'denque'"],
  },
  {
    name: "a client whose bundle tells why one level down",
    make: () => {
      const cause = new Error('Dynamic require of "events" is not supported');
      throw cannotLoad("redis", new TypeError("no client", { cause }));
    },
    error: "TransportError",
    words: [
      'Cannot load the transport "redis": it is in a bundle',
      "const require = createRequire(import.meta.url);",
      "--external:ioredis",
    ],
  },
  {
    name: "a client that is bundled",
    make: () => {
      const cause = 'Dynamic require of "events" is not supported';
      throw cannotLoad("redis", new Error(cause));
    },
    error: "TransportError",
    words: [
      'Cannot load the transport "redis": it is in a bundle',
      "const require = createRequire(import.meta.url);",
      "--external:ioredis",
    ],
  },
  ...([
    ["pool.acquire", (wrong) => memory().pool().acquire(wrong)],
    ["connection.release", (wrong) => memory().release(wrong)],
    ["connection.events", (wrong) => memory().events(wrong)],
    ["quarantine.list", (wrong) => memory().quarantine("q").list(wrong)],
  ] as [string, (wrong: OperationOptions) => unknown][]).flatMap((
    [call, make],
  ) => [
    {
      name: `a misspelt option of ${call}`,
      make: () => make(loose({ timeuot: 1 })),
      error: "OptionError",
      words: ['"timeuot"', 'did you mean "timeout"'],
    },
    {
      name: `null as the options of ${call}`,
      make: () => make(loose(null)),
      error: "OptionError",
      words: ["null", "must be an object"],
    },
  ]),
  {
    name: "an order of URLs that there is not",
    make: () =>
      createConnection(["memory://a", "memory://b"], {
        failoverStrategy: loose("random"),
      }),
    error: "OptionError",
    words: ['"random"', '"failoverStrategy"', '"shuffle"'],
  },
  {
    name: "a misspelt option of asUri",
    make: () => memory().asUri(loose({ includePasword: true })),
    error: "OptionError",
    words: ['"includePasword"', 'did you mean "includePassword"'],
  },
  {
    name: "null as the options of asUri",
    make: () => memory().asUri(loose(null)),
    error: "OptionError",
    words: ["null", "must be an object"],
  },
  {
    name: "an outbox that is given a payload alone",
    make: () => createOutbox(memory()).publish(1, loose(undefined)),
    error: "OptionError",
    words: ['undefined as the "transaction"'],
  },
  {
    name: "an inbox in a database without a window",
    make: () => createSqlInbox(loose({ connect() {} }), loose(undefined)),
    error: "RangeError",
    words: ['undefined as "window"', "milliseconds"],
  },
  {
    name: "a transaction in no database",
    make: () => inTransaction(loose(undefined), () => {}),
    error: "TypeError",
    words: ["undefined", "DatabaseSync"],
  },
  {
    name: "a transaction without anything to do",
    make: () =>
      inTransaction(
        loose({ exec: () => {}, prepare: () => {} }),
        loose(undefined),
      ),
    error: "TypeError",
    words: ["undefined", "a function"],
  },
  {
    name: "publishing after the end",
    make: async () => {
      const connection = memory();
      const producer = connection.producer({ routingKey: "q" });
      await connection.close();
      await producer.publish(1);
    },
    error: "ClosedError",
    words: ["closed"],
  },
];

for (const { name, make, error, words } of MISTAKES) {
  Deno.test(`a mistake is told: ${name}`, async () => {
    const caught = await assertRejects(async () => {
      await make();
    }, Error);
    assertEquals(caught.name, error, caught.message);
    for (const word of words) {
      assert(caught.message.includes(word), caught.message);
    }
    assert(!caught.message.includes("ss/w"), caught.message);
    for (const each of made) await each.close();
    made = [];
  });
}
