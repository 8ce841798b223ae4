import type { ConnectionInfo } from "../messaging/mod.ts";
import type { Attributes } from "./api_client.ts";

/** The kinds of operations, as the conventions have them. */
export type OperationType =
  | "create"
  | "send"
  | "receive"
  | "process"
  | "settle";

/** The broker that a connection is to. */
export interface Server {
  /** The transport's name. */
  readonly transport: string;
  /** The host. */
  readonly hostname: string | undefined;
  /** The port. */
  readonly port: number | undefined;
  /** Who is at the other end of its socket, where that is known. */
  readonly peer: ConnectionInfo["peer"];
  /** The name of the connection, if it has one. */
  readonly name: string | undefined;
}

/** All that is the same of each message of an operation on one destination. */
export interface Operation {
  /** The name of its spans. */
  readonly spanName: string;
  /** The attributes that its spans begin with: those that the conventions want samplers to see. */
  readonly span: Attributes;
  /** The other ones, which spans that are not recorded do without; message ids are added. */
  readonly recorded: Attributes;
  /** The attributes of its metrics, always the same object for the same values. */
  readonly metric: Attributes;
}

/** An operation, and its destination. */
interface Known extends Operation {
  readonly exchange: string;
  readonly routingKey: string;
  readonly queue: string | undefined;
}

/** The names of the conventions for systems that have one, by transport; others are their own. */
const SYSTEMS: Readonly<Record<string, string>> = {
  amqp: "rabbitmq",
  amqp_client: "rabbitmq",
  beanstalk: "beanstalkd",
  sqs: "aws_sqs",
};

/** Queues whose names are made for one process or one answer. */
const ANONYMOUS = /^(?:amq\.(?:gen-|rabbitmq\.reply-to)|dashi\.reply\.)/;

/** So many destinations are known at once: routing keys may be many. */
const MOST = 10_000;

/**
 * Names what is done, and describes it by OpenTelemetry's conventions for messaging: once
 * for each destination.
 */
export class Operations {
  readonly #system: string;
  readonly #server: Attributes;
  /** Of spans alone: these may be many. */
  readonly #ofSpans: Attributes;
  readonly #known = new Map<string, Known>();
  /** The last one of each name. */
  readonly #last = new Map<string, Known>();
  readonly #metrics: Map<string, Attributes>;

  /** Makes those of a connection to one server; `metrics` are shared by all that are to it. */
  constructor(
    { transport, hostname, port, peer, name }: Server,
    metrics: Map<string, Attributes>,
  ) {
    this.#metrics = metrics;
    this.#system = SYSTEMS[transport] ?? transport;
    this.#server = transport === "memory" || hostname === undefined ? {} : {
      "server.address": hostname,
      ...(port === undefined ? {} : { "server.port": port }),
    };
    this.#ofSpans = withoutHoles({
      "messaging.client.id": name,
      "network.peer.address": peer?.address,
      "network.peer.port": peer?.port,
    });
  }

  /** Returns the attributes of metrics that concern a queue, or with no name the connection. */
  queue(name: string): Attributes {
    const isNamed = name !== "" && !ANONYMOUS.test(name);
    return this.#metricOf(isNamed ? name : "", {
      "messaging.system": this.#system,
      ...(isNamed ? { "messaging.destination.name": name } : {}),
      ...this.#server,
    });
  }

  /** Whether messages have RabbitMQ's own attributes. */
  get isRabbit(): boolean {
    return this.#system === "rabbitmq";
  }

  /** Whether queues have URLs of AWS. */
  get isSqs(): boolean {
    return this.#system === "aws_sqs";
  }

  /** Returns the operation that publishes. */
  publish(exchange: string, routingKey: string): Operation {
    return this.#find("publish", "send", exchange, routingKey, undefined);
  }

  /** Returns the operation that writes a message to be published later, by another. */
  create(exchange: string, routingKey: string): Operation {
    return this.#find("create", "create", exchange, routingKey, undefined);
  }

  /** Returns an operation on a message of a queue. */
  consume(
    name: string,
    type: OperationType,
    exchange: string,
    routingKey: string,
    queue: string,
  ): Operation {
    return this.#find(name, type, exchange, routingKey, queue);
  }

  #find(
    name: string,
    type: OperationType,
    exchange: string,
    routingKey: string,
    queue: string | undefined,
  ): Operation {
    // Messages of one destination come together; to make a key costs more than to compare.
    const last = this.#last.get(name);
    if (
      last !== undefined && last.routingKey === routingKey &&
      last.queue === queue && last.exchange === exchange
    ) return last;
    const key = `${name}\n${exchange}\n${routingKey}\n${queue ?? ""}`;
    const found = this.#known.get(key) ??
      this.#add(key, name, type, exchange, routingKey, queue);
    this.#last.set(name, found);
    return found;
  }

  #add(
    key: string,
    name: string,
    type: OperationType,
    exchange: string,
    routingKey: string,
    queue: string | undefined,
  ): Known {
    // Exchanges and queues are few, and keys need not be.
    const entity = queue ?? (exchange === "" ? routingKey : exchange);
    const full = queue === undefined
      ? joined([exchange, routingKey]) || "amq.default"
      : joined([exchange, routingKey === queue ? "" : routingKey, queue]);
    const isAnonymous = ANONYMOUS.test(entity);
    // In the order of their names, by which the SDK sorts them for each value of a metric.
    const common = {
      "messaging.operation.name": name,
      "messaging.operation.type": type,
      "messaging.system": this.#system,
      ...this.#server,
    };
    const operation: Known = {
      exchange,
      routingKey,
      queue,
      spanName: isAnonymous || entity === "" ? name : `${name} ${entity}`,
      span: withoutHoles({
        ...common,
        "messaging.destination.name": full,
        "messaging.destination.template": isAnonymous || full === entity
          ? undefined
          : entity,
        "messaging.destination.anonymous": isAnonymous || undefined,
        "messaging.destination.temporary": isAnonymous || undefined,
      }),
      recorded: withoutHoles({
        ...this.#ofSpans,
        "messaging.rabbitmq.destination.routing_key": this.isRabbit
          ? routingKey || undefined
          : undefined,
      }),
      metric: this.#metricOf(`${name}\n${isAnonymous ? "" : entity}`, {
        ...(isAnonymous || entity === ""
          ? {}
          : { "messaging.destination.name": entity }),
        ...common,
      }),
    };
    if (this.#known.size >= MOST) this.#known.clear();
    this.#known.set(key, operation);
    return operation;
  }

  #metricOf(key: string, attributes: Attributes): Attributes {
    const known = this.#metrics.get(key);
    if (known !== undefined) return known;
    this.#metrics.set(key, attributes);
    return attributes;
  }
}

function joined(parts: readonly string[]): string {
  return parts.filter((each) => each !== "").join(":");
}

function withoutHoles(attributes: Attributes): Attributes {
  return Object.fromEntries(
    Object.entries(attributes).filter(([, value]) => value !== undefined),
  );
}
