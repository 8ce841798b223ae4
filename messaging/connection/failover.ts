import type { FailoverStrategy } from "./connection_options.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";

/** Milliseconds that one of several brokers is left alone after it failed: dialling it more often would not help it. */
const REST = 1000;

/** Says which endpoint to try next. */
export class Failover {
  readonly #endpoints: readonly Endpoint[];
  readonly #strategy: FailoverStrategy;
  readonly #random: () => number;
  #order: Iterator<Endpoint> | undefined;
  #current: Endpoint;
  /** When they failed, on the clock. */
  readonly #failedAt = new Map<Endpoint, number>();

  /** Begins with the first endpoint, or with the one that the strategy says. */
  constructor(
    endpoints: readonly Endpoint[],
    strategy: FailoverStrategy,
    random: () => number,
  ) {
    const [first] = endpoints;
    if (first === undefined) throw new TypeError("Cannot connect: no URL");
    this.#endpoints = endpoints;
    this.#strategy = strategy;
    this.#random = random;
    this.#current = typeof strategy === "function" ? this.#next() : first;
  }

  /** How many there are. */
  get count(): number {
    return this.#endpoints.length;
  }

  /** The one in use, or to be tried now. */
  get current(): Endpoint {
    return this.#current;
  }

  /** Milliseconds until the current one may be tried; where it is the only one, none. */
  rest(now: number): number {
    const failedAt = this.#failedAt.get(this.#current);
    if (failedAt === undefined || this.count === 1) return 0;
    return Math.max(0, failedAt + REST - now);
  }

  /** The current one has been reached. */
  succeed(): void {
    this.#failedAt.delete(this.#current);
  }

  /** The current one could not be reached: goes on to the next. */
  fail(now: number): void {
    this.#failedAt.set(this.#current, now);
    this.advance();
  }

  /** Goes on to the next. */
  advance(): void {
    if (this.#endpoints.length > 1) this.#current = this.#next();
  }

  #next(): Endpoint {
    this.#order ??= this.#begin();
    let result = this.#order.next();
    if (result.done) {
      // A function's own order has come to its end: it begins again.
      this.#order = this.#begin();
      result = this.#order.next();
    }
    if (result.done) {
      throw new TypeError(
        'Cannot choose a URL: the "failoverStrategy" function gave none',
      );
    }
    return result.value;
  }

  #begin(): Iterator<Endpoint> {
    const strategy = this.#strategy;
    if (strategy === "round-robin") return cycle(this.#endpoints);
    if (strategy === "shuffle") {
      return shuffles(this.#endpoints, this.#random);
    }
    const byUri = new Map(
      this.#endpoints.map((each) => [formatEndpoint(each), each]),
    );
    return choose(strategy([...byUri.keys()]), byUri);
  }
}

function* cycle(endpoints: readonly Endpoint[]): Generator<Endpoint> {
  for (let i = 1;; i++) {
    const endpoint = endpoints[i % endpoints.length];
    if (endpoint !== undefined) yield endpoint;
  }
}

/** Each round is another order, so that all are tried before one is tried again. */
function* shuffles(
  endpoints: readonly Endpoint[],
  random: () => number,
): Generator<Endpoint> {
  for (;;) {
    const left = [...endpoints];
    while (left.length > 0) {
      yield* left.splice(Math.floor(random() * left.length), 1);
    }
  }
}

function* choose(
  uris: Iterable<string>,
  byUri: ReadonlyMap<string, Endpoint>,
): Generator<Endpoint> {
  for (const uri of uris) {
    const endpoint = byUri.get(uri);
    if (endpoint === undefined) {
      throw new TypeError(
        `Cannot choose "${uri}": the "failoverStrategy" function must give URLs that it was given`,
      );
    }
    yield endpoint;
  }
}
