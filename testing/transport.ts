import type { Clock } from "../async/clock.ts";
import { Limits } from "../async/limits.ts";
import type { CallOptions } from "../model/call_options.ts";
import { AccessRefusedError, PublishError } from "../model/errors.ts";
import type { BrokerUrl } from "../url/broker_url.ts";
import { formatUrl } from "../url/format.ts";
import {
  cannotConnect,
  connectionLost,
  endedMeanwhile,
  lostBefore,
  notAnswered,
} from "../transports/connection_errors.ts";
import { findTransport } from "../transports/load.ts";
import { isStoreTransport, type Store } from "../transports/store/mod.ts";
import type {
  Channel,
  CloseReason,
  ConnectOptions,
  Transport,
  TransportConnection,
} from "../transports/transport.ts";
import type { FaultVerb, Mishap, OrderedFaults } from "./faults.ts";

/** The verbs of a channel, as faults have them, and where their limits stand among the arguments. */
const VERBS: ReadonlyMap<string, readonly [verb: FaultVerb, limits: number]> =
  new Map([
    ["declareExchange", ["declare", 1]],
    ["declareQueue", ["declare", 1]],
    ["bind", ["bind", 1]],
    ["checkExchange", ["check", 1]],
    ["checkQueue", ["check", 1]],
    ["deleteExchange", ["delete", 1]],
    ["deleteQueue", ["delete", 1]],
    ["purgeQueue", ["purge", 1]],
    ["publish", ["publish", 1]],
    ["consume", ["consume", 2]],
    ["get", ["get", 1]],
    ["getMany", ["get", 2]],
    ["ack", ["ack", 1]],
    ["reject", ["reject", 1]],
    ["park", ["park", 1]],
  ]);

/** Why a connection fails here, in words. */
const ORDERED = "the test has ordered it";

/** A connection that is open. */
interface Link {
  readonly limits: Limits;
  lose: () => void;
  /** Whether it is lost: those who are to hear of it may not have yet. */
  isLost: boolean;
}

/** Brokers in memory whose calls meet faults, and whose connections can be lost. */
export class TestTransport implements Transport {
  readonly name = "memory";
  readonly #faults: OrderedFaults;
  readonly #clock: Clock;
  readonly #open = new Set<Link>();
  #waiting = 0;
  #connecting = 0;
  #calls = 0;

  /** Makes one whose delays go by a clock. */
  constructor(faults: OrderedFaults, clock: Clock) {
    this.#faults = faults;
    this.#clock = clock;
  }

  /** How many connections are being opened, but those that wait for a delay that was ordered. */
  get connecting(): number {
    return this.#connecting;
  }

  /** How many other calls wait for such a delay. */
  get waiting(): number {
    return this.#waiting;
  }

  /** How many calls there were: while it grows, something happens. */
  get calls(): number {
    return this.#calls;
  }

  /** Connects, unless a fault happens to that. */
  async connect(
    url: BrokerUrl,
    options: ConnectOptions,
  ): Promise<TransportConnection> {
    this.#calls++;
    this.#connecting++;
    try {
      return await this.#connect(url, options);
    } finally {
      this.#connecting--;
    }
  }

  async #connect(
    url: BrokerUrl,
    options: ConnectOptions,
  ): Promise<TransportConnection> {
    const action = `connect to "${formatUrl(url)}"`;
    const limits = new Limits(this.#clock);
    for (const mishap of this.#faults.meet("connect")) {
      if (mishap.type === "delay") {
        this.#connecting--;
        try {
          await this.#sleep(mishap.duration, action, limits, options);
        } finally {
          this.#connecting++;
        }
      } else if (mishap.type === "refuse") {
        throw mishap.error ?? cannotConnect(action, ORDERED, {});
      }
    }
    const memory = (await findTransport("memory").load()).createTransport();
    if (!isStoreTransport(memory)) {
      throw new TypeError("Cannot order faults: memory is no store any more");
    }
    const lost = connectionLost(formatUrl(url), ORDERED);
    const link: Link = { limits, lose: () => {}, isLost: false };
    const connection = await memory.wrapping((store) => {
      const losable = losableOf(store);
      link.lose = () => {
        link.isLost = true;
        losable.lose(lost);
      };
      return losable.store;
    }).connect(url, options);
    this.#open.add(link);
    connection.closed.then((reason) => {
      this.#open.delete(link);
      limits.end(() =>
        endedMeanwhile(reason.type === "lost" ? reason.error : undefined)
      );
    });
    return this.#watched(connection, link);
  }

  /** Lets all connections be lost. */
  loseAll(): void {
    for (const each of [...this.#open]) each.lose();
  }

  #watched(connection: TransportConnection, link: Link): TransportConnection {
    return replacing(connection, (name, call) => {
      if (name !== "openChannel") return undefined;
      return async (...args) =>
        this.#channel(await call(...args) as Channel, link);
    });
  }

  #channel(channel: Channel, link: Link): Channel {
    return replacing(channel, (name, call) => {
      const known = VERBS.get(name);
      if (known === undefined) return undefined;
      const [verb, place] = known;
      return (...args) => {
        this.#calls++;
        const action = () => `${verb} ${nameOf(args[0])}`;
        if (link.isLost) return Promise.reject(lostBefore(action()));
        const mishaps = this.#faults.meet(verb);
        if (mishaps.length === 0) return call(...args);
        const meeting = { action: action(), link };
        return this.#meet(
          mishaps,
          verb,
          meeting,
          args[place] as CallOptions | undefined,
          () => call(...args),
        );
      };
    });
  }

  async #meet(
    mishaps: readonly Mishap[],
    verb: FaultVerb,
    { action, link }: { readonly action: string; readonly link: Link },
    options: CallOptions | undefined,
    call: () => Promise<unknown>,
  ): Promise<unknown> {
    for (const mishap of mishaps) {
      switch (mishap.type) {
        case "delay":
          this.#waiting++;
          try {
            await this.#sleep(mishap.duration, action, link.limits, options);
          } finally {
            this.#waiting--;
          }
          break;
        case "refuse":
          throw mishap.error ?? refusal(verb, action);
        case "lose": {
          if (mishap.done) await call();
          link.lose();
          throw lostBefore(action, { outcome: "unknown" });
        }
      }
    }
    return await call();
  }

  /** Waits, no longer than the call's limits allow, and the connection lasts. */
  async #sleep(
    duration: number,
    action: string,
    limits: Limits,
    options: CallOptions | undefined,
  ): Promise<void> {
    let stop = () => {};
    const over = new Promise<void>((resolve) => {
      stop = this.#clock.timer(resolve, duration);
    });
    try {
      const { signal, deadline = Number.MAX_VALUE } = options ?? {};
      await limits.wait(
        over,
        { signal, deadline },
        () => notAnswered(action, "unknown"),
      );
    } finally {
      stop();
    }
  }
}

type Call = (...args: readonly unknown[]) => Promise<unknown>;

/** An object like another, of whose methods some are replaced. */
function replacing<T extends object>(
  target: T,
  replace: (name: string, call: Call) => Call | undefined,
): T {
  const methods = new Map<PropertyKey, unknown>();
  return new Proxy(target, {
    get(_, name) {
      const known = methods.get(name);
      if (known !== undefined) return known;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      const call: Call = value.bind(target);
      const method = typeof name === "string"
        ? replace(name, call) ?? call
        : call;
      methods.set(name, method);
      return method;
    },
  });
}

/** A store like another, that can be lost: its reservations go back then. */
function losableOf(
  inner: Store,
): { readonly store: Store; readonly lose: (error: Error) => void } {
  const { promise: closed, resolve } = Promise.withResolvers<CloseReason>();
  inner.closed.then(resolve);
  const lose = (error: Error) => {
    resolve({ type: "lost", error });
    // When those who are to hear of the loss have heard of it.
    closed.then(() => inner[Symbol.asyncDispose]());
  };
  const store = replacing(inner, () => undefined);
  return {
    lose,
    store: new Proxy(store, {
      get: (_, name) => name === "closed" ? closed : Reflect.get(store, name),
    }),
  };
}

/** The error of a broker that refuses something for good. */
function refusal(verb: FaultVerb, action: string): Error {
  const text = `Cannot ${action}: the broker refuses it, as ${ORDERED}`;
  return verb === "publish"
    ? new PublishError(text, { code: "publish-refused" })
    : new AccessRefusedError(text);
}

/** The name of what a call is about, for errors. */
function nameOf(subject: unknown): string {
  if (typeof subject === "string") return `"${subject}"`;
  if (typeof subject !== "object" || subject === null) return "a message";
  const { name, exchange } = subject as {
    readonly name?: unknown;
    readonly exchange?: unknown;
  };
  if (typeof name === "string") return `"${name}"`;
  return typeof exchange === "string" ? `to exchange "${exchange}"` : "it";
}
