/** What is known of brokers and their queues: filtered and in order. */

/**
 * @typedef {object} Queue
 * @property {string} key What names it among all queues of all brokers.
 * @property {Broker} broker
 * @property {string} name
 * @property {number} [ready]
 * @property {number} [delayed]
 * @property {number} [unacked]
 * @property {number} [consumers]
 * @property {number} [oldest] Seconds.
 * @property {number} [rate] By how much its depth changes in a second.
 * @property {number} [published] How many have come in, of all time.
 * @property {number} [consumed] How many have left, of all time.
 * @property {number} [in] How many come in in a second.
 * @property {number} [out] How many leave in a second.
 * @property {string[]} [letters] The queues whose dead letters it has.
 * @property {(number | null)[]} spark How many were ready, at the last times.
 */

/**
 * @typedef {object} Broker
 * @property {number} id
 * @property {string} name
 * @property {string} transport
 * @property {"connecting" | "up" | "down"} state
 * @property {string} [error]
 * @property {string} [advice]
 * @property {boolean} shows Whether messages are shown without being taken.
 * @property {boolean} lists Whether it lists its queues.
 * @property {Map<string, Queue>} queues
 */

/** @typedef {"name" | "broker" | "ready" | "delayed" | "unacked" | "consumers" | "oldest" | "in" | "out" | "rate"} Column */

/** So many times are shown in a row. */
const SPARK = 60;

/**
 * Reads which queue an address names.
 *
 * @param {string} hash What stands in it from `#` on.
 * @returns {string | undefined} The queue's key; nothing if it is no text that was encoded.
 */
export function keyIn(hash) {
  try {
    return decodeURIComponent(hash.slice(1));
  } catch {
    return undefined;
  }
}

/** All that the page knows. */
export class Model {
  /** @type {Map<number, Broker>} */
  brokers = new Map();
  /** The queues that pass the filter, in order. @type {Queue[]} */
  shown = [];
  /** How many queues there are. */
  count = 0;
  /** Whether a broker counts what comes in. */
  isCounted = false;
  /** @type {{ column: Column, isDown: boolean }} */
  order = { column: "name", isDown: false };
  filter = "";

  /**
   * Begins anew, with these brokers; their rows follow.
   *
   * @param {{ brokers: any[] }} all They.
   */
  takeAll({ brokers }) {
    this.brokers.clear();
    for (const state of brokers) {
      this.brokers.set(state.id, { ...state, queues: new Map() });
    }
  }

  /**
   * Takes some rows of a broker; to arrange them is left to its caller.
   *
   * @param {{ broker: number, rows: any[] }} some They.
   */
  takeRows({ broker: id, rows }) {
    const broker = this.brokers.get(id);
    if (broker === undefined) return;
    for (const row of rows) {
      const known = broker.queues.get(row.name);
      if (known === undefined) {
        const key = `${broker.id}/${row.name}`;
        broker.queues.set(row.name, { spark: [], ...row, broker, key });
      } else Object.assign(known, UNKNOWN, row);
    }
  }

  /**
   * Takes the last of what has changed at one broker.
   *
   * @param {{ broker: any, rows: any[], gone: string[] }} change It.
   * @returns {Broker | undefined} The broker.
   */
  takeChange({ broker: state, rows, gone }) {
    const broker = this.brokers.get(state.id);
    if (broker === undefined) return undefined;
    Object.assign(broker, { error: undefined, advice: undefined }, state);
    for (const name of gone) broker.queues.delete(name);
    this.takeRows({ broker: broker.id, rows });
    for (const queue of broker.queues.values()) {
      queue.spark.push(broker.state === "up" ? queue.ready ?? null : null);
      if (queue.spark.length > SPARK) queue.spark.shift();
    }
    this.arrange();
    return broker;
  }

  /**
   * Orders by a column; by the same again, the other way round.
   *
   * @param {Column} column The column.
   */
  orderBy(column) {
    const isText = column === "name" || column === "broker";
    const isDown = column === this.order.column ? !this.order.isDown : !isText;
    this.order = { column, isDown };
    this.arrange();
  }

  /** Filters and orders all anew. */
  arrange() {
    const words = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
    /** @type {Queue[]} */
    const shown = [];
    this.count = 0;
    this.isCounted = false;
    for (const broker of this.brokers.values()) {
      this.count += broker.queues.size;
      for (const queue of broker.queues.values()) {
        if (queue.in !== undefined) this.isCounted = true;
        const text = `${queue.name} ${broker.name}`.toLowerCase();
        if (words.every((each) => text.includes(each))) shown.push(queue);
      }
    }
    const { column, isDown } = this.order;
    const sign = isDown ? -1 : 1;
    shown.sort((a, b) =>
      sign * compare(valueOf(a, column), valueOf(b, column)) ||
      compare(a.name, b.name) || a.broker.id - b.broker.id
    );
    this.shown = shown;
  }

  /**
   * Finds a queue.
   *
   * @param {string | undefined} key What names it.
   * @returns {Queue | undefined} It, if it is there.
   */
  find(key) {
    const [, id, name] = /^(\d+)\/(.*)$/s.exec(key ?? "") ?? [];
    return name === undefined
      ? undefined
      : this.brokers.get(Number(id))?.queues.get(name);
  }
}

/** What is known of a queue that is not listed; a number that a broker tells no more is not sent. */
export const UNKNOWN = {
  ready: undefined,
  delayed: undefined,
  unacked: undefined,
  consumers: undefined,
  oldest: undefined,
  rate: undefined,
  published: undefined,
  consumed: undefined,
  in: undefined,
  out: undefined,
  letters: undefined,
};

/**
 * @param {Queue} queue
 * @param {Column} column
 */
function valueOf(queue, column) {
  return column === "broker" ? queue.broker.name : queue[column] ?? -Infinity;
}

/**
 * @param {string | number} a
 * @param {string | number} b
 */
function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
