/** Two charts of a queue: what is in it, and how fast that changes. */

import { colour, make } from "./dom.js";
import { clock, compact, count } from "./numbers.js";

/**
 * @typedef {object} Past
 * @property {number[]} times Milliseconds since 1970.
 * @property {(number | null)[]} ready
 * @property {(number | null)[]} delayed
 * @property {(number | null)[]} unacked
 * @property {(number | null)[]} published How many had come in, of all time.
 * @property {(number | null)[]} consumed How many had left, of all time.
 */

/** @type {readonly ("ready" | "delayed" | "unacked" | "published" | "consumed")[]} */
const NUMBERS = ["ready", "delayed", "unacked", "published", "consumed"];
/** So many times are kept. */
const MOST = 300;
const [HIGH, LOW] = [150, 96];

/** The library, loaded once; nothing where it is not installed. @type {Promise<any> | undefined} */
let library;

function load() {
  // Its name is no module of ours, so that a check of types does not look for it.
  const name = "./uPlot.esm.js";
  return library ??= import(name).then((loaded) => loaded.default);
}

/** The charts of a queue. */
export class Charts {
  /** @type {Past} */
  #past;
  /** @type {any[]} */
  #plots = [];
  element = make("div", { class: "charts" });
  #observer = new ResizeObserver(() => this.#resize());
  #isClosed = false;

  /**
   * Makes them.
   *
   * @param {Past | undefined} past What is known.
   */
  constructor(past) {
    this.#past = past ?? {
      times: [],
      ready: [],
      delayed: [],
      unacked: [],
      published: [],
      consumed: [],
    };
    this.#observer.observe(this.element);
    this.draw();
  }

  /**
   * Adds what is there now.
   *
   * @param {import("./model.js").Queue} queue The queue.
   * @param {number} at When, ms since 1970.
   */
  add(queue, at) {
    const { times, ...lines } = this.#past;
    times.push(at);
    for (const name of NUMBERS) {
      lines[name].push(
        queue.broker.state === "up" ? queue[name] ?? null : null,
      );
    }
    if (times.length > MOST) {
      for (const each of [times, ...Object.values(lines)]) each.shift();
    }
    const [depth, change] = this.#data();
    this.#plots[0]?.setData(depth);
    this.#plots[1]?.setData(change);
  }

  /** Draws them anew, in the colours that hold now. */
  async draw() {
    const uPlot = await load();
    if (this.#isClosed) return;
    for (const each of this.#plots) each.destroy();
    this.#plots = [];
    if (uPlot === undefined) {
      this.element.replaceChildren(make(
        "p",
        { class: "quiet" },
        "The charts need the package uplot, which is not installed: npm install uplot",
      ));
      return;
    }
    const [depth, change] = this.#data();
    const [first, second] = [make("figure"), make("figure")];
    this.element.replaceChildren(first, second);
    const title = (/** @type {string} */ text) => make("figcaption", {}, text);
    first.append(title("Depth"));
    second.append(title(
      this.#isCounted()
        ? "In and out, in a second"
        : "Change of the depth, in a second",
    ));
    const line = (
      /** @type {string} */ label,
      /** @type {string} */ stroke,
      /** @type {string | undefined} */ fill,
    ) => ({
      label,
      stroke,
      fill,
      width: 1.5,
      points: { show: false },
      value: (/** @type {unknown} */ _, /** @type {number | null} */ value) =>
        count(value),
    });
    this.#plots = [
      new uPlot(
        this.#options([
          line("ready", colour("--ready"), colour("--ready-fill")),
          line("delayed", colour("--delayed"), undefined),
          line("unacked", colour("--unacked"), undefined),
        ], true),
        depth,
        first,
      ),
      new uPlot(
        this.#options(
          this.#isCounted()
            ? [
              line("in", colour("--change"), undefined),
              line("out", colour("--unacked"), undefined),
            ]
            : [line("change", colour("--change"), undefined)],
          false,
        ),
        change,
        second,
      ),
    ];
  }

  /** Ends them. */
  close() {
    this.#isClosed = true;
    this.#observer.disconnect();
    for (const each of this.#plots) each.destroy();
  }

  /** Whether the broker counts what comes in, and what leaves. */
  #isCounted() {
    return this.#past.published.some((each) => each !== null);
  }

  /** As the library wants it: columns, and times in seconds. */
  #data() {
    const { times, ready, delayed, unacked, published, consumed } = this.#past;
    const seconds = times.map((each) => each / 1000);
    const depths = times.map((_, i) => {
      const known = [ready[i], delayed[i], unacked[i]].filter((each) =>
        each !== null && each !== undefined
      );
      return known.length === 0
        ? null
        : known.reduce((a, b) => Number(a) + Number(b), 0) ?? null;
    });
    const rates = this.#isCounted()
      ? [rateOf(seconds, published), rateOf(seconds, consumed)]
      : [rateOf(seconds, depths)];
    return [[seconds, ready, delayed, unacked], [seconds, ...rates]];
  }

  /**
   * @param {object[]} lines
   * @param {boolean} fromZero
   */
  #options(lines, fromZero) {
    const axis = {
      stroke: colour("--quiet"),
      font: "11px system-ui, sans-serif",
      grid: { stroke: colour("--line"), width: 1 },
      ticks: { show: false },
    };
    return {
      width: this.#width(),
      height: fromZero ? HIGH : LOW,
      series: [
        { label: "at", value: "{HH}:{mm}:{ss}" },
        ...lines,
      ],
      axes: [
        {
          ...axis,
          grid: { show: false },
          size: 26,
          space: 80,
          values: timesOf,
        },
        {
          ...axis,
          size: 48,
          space: 26,
          values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) =>
            ticks.map((each) => compact(each)),
        },
      ],
      scales: {
        y: {
          range: (
            /** @type {unknown} */ _,
            /** @type {number | null} */ low,
            /** @type {number | null} */ high,
          ) => rangeOf(low, high, fromZero),
        },
      },
      cursor: { drag: { x: false, y: false }, points: { size: 6 } },
      legend: { show: lines.length > 1 },
    };
  }

  #width() {
    return Math.max(240, Math.floor(this.element.clientWidth));
  }

  #resize() {
    const width = this.#width();
    for (const each of this.#plots) {
      if (each.width !== width) each.setSize({ width, height: each.height });
    }
  }
}

/**
 * @param {number[]} seconds
 * @param {(number | null)[]} values
 * @returns {(number | null)[]} By how much each differs from the one before, in a second.
 */
function rateOf(seconds, values) {
  return values.map((value, i) => {
    const before = values[i - 1];
    const passed = (seconds[i] ?? 0) - (seconds[i - 1] ?? 0);
    return value === null || before === null || before === undefined ||
        passed <= 0
      ? null
      : Math.round((value - before) / passed * 10) / 10;
  });
}

/**
 * @param {unknown} _
 * @param {number[]} seconds
 */
function timesOf(_, seconds) {
  return seconds.map((each) => clock(each * 1000));
}

/**
 * A flat line stands in the middle of something, too.
 *
 * @param {number | null} low
 * @param {number | null} high
 * @param {boolean} fromZero
 */
function rangeOf(low, high, fromZero) {
  if (fromZero) return [0, Math.max((high ?? 0) * 1.1, 4)];
  if ((low ?? 0) >= 0) return [0, Math.max((high ?? 0) * 1.1, 1)];
  const most = Math.max(Math.abs(low ?? 0), Math.abs(high ?? 0)) * 1.1;
  return [-Math.max(most, 1), Math.max(most, 1)];
}
