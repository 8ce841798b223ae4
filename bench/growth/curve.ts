// deno-lint-ignore-file no-console -- a program for people
/** The measuring and the judging that all curves share. */

import { type Connection, createConnection } from "@dashi/mq";

/** How the cost may grow, at best. */
export type Goal = "flat" | "linear";

/** The greatest exponent of n that still counts as that growth, noise included. */
const MAX_EXPONENT: Readonly<Record<Goal, number>> = {
  flat: 0.25,
  linear: 1.2,
};

/** One curve: a cost, as something grows. */
export interface Curve {
  /** The cost, and the quantity that it is drawn over. */
  readonly title: string;
  readonly unit: string;
  readonly sizes: readonly number[];
  /** How it should grow. A number instead is the most that it may ever be. */
  readonly goal: Goal | number;
  /** Brokers that it is measured on. */
  readonly on: readonly string[];
  /** Measures it once for a size, on a broker. */
  readonly measure: (place: Place, size: number) => Promise<number>;
}

/** A broker, as curves use it. */
export class Place {
  /** Its name in the table. */
  readonly name: string;
  /** Its URL. */
  readonly url: string;
  #count = 0;

  /** Names a broker. */
  constructor(name: string, url: string) {
    this.name = name;
    this.url = url;
  }

  /** A name that nothing has yet. */
  fresh(what: string): string {
    return `growth-${what}-${++this.#count}-${crypto.randomUUID().slice(0, 8)}`;
  }

  /** Opens a connection. */
  async open(): Promise<Connection> {
    const connection = createConnection(this.url);
    await connection.connect();
    return connection;
  }
}

/** Milliseconds that something takes. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}

/** Does something for each number, so many at once. */
export async function each(
  count: number,
  work: (index: number) => Promise<unknown>,
  window: number = 500,
): Promise<void> {
  for (let i = 0; i < count; i += window) {
    await Promise.all(
      Array.from(
        { length: Math.min(window, count - i) },
        (_, j) => work(i + j),
      ),
    );
  }
}

/** Measures a curve on a broker, and prints its row; says whether it reached its goal. */
export async function draw(
  curve: Curve,
  place: Place,
  rounds: number,
): Promise<boolean> {
  const values: number[] = [];
  for (const size of curve.sizes) {
    const measured: number[] = [];
    for (let i = 0; i < rounds; i++) {
      measured.push(await curve.measure(place, size));
    }
    // The least is what it costs; the rest is what else the machine did.
    values.push(Math.min(...measured));
  }
  const exponent = slope(curve.sizes, values);
  const { goal } = curve;
  const reached = typeof goal === "number"
    ? Math.max(...values) <= goal
    : exponent <= MAX_EXPONENT[goal];
  const columns = curve.sizes.map((size, i) =>
    `${size.toLocaleString("en")}: ${format(values[i] ?? NaN)}`
  );
  const aim = typeof goal === "number" ? `at most ${goal} ${curve.unit}` : goal;
  console.log(
    `${reached ? "  " : "! "}${
      place.name.padEnd(7)
    } ${curve.title}, ${curve.unit}\n` +
      `      ${columns.join("   ")}   n^${exponent.toFixed(2)} (goal: ${aim})`,
  );
  return reached;
}

/** The exponent of the power of n that fits best: the slope of both logarithms. */
function slope(sizes: readonly number[], values: readonly number[]): number {
  const xs = sizes.map(Math.log);
  const ys = values.map((value) => Math.log(Math.max(value, 1e-6)));
  const [mx, my] = [mean(xs), mean(ys)];
  let [over, under] = [0, 0];
  for (const [i, x] of xs.entries()) {
    over += (x - mx) * ((ys[i] ?? my) - my);
    under += (x - mx) ** 2;
  }
  return under === 0 ? 0 : over / under;
}

function mean(list: readonly number[]): number {
  return list.reduce((sum, value) => sum + value, 0) / list.length;
}

function format(value: number): string {
  return value >= 100
    ? Math.round(value).toLocaleString("en")
    : value.toPrecision(2);
}
