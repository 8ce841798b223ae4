/** The table of queues: as many rows as are seen, however many there are. */

import { colour, make, the } from "./dom.js";
import { age, count, rate } from "./numbers.js";

/** @typedef {import("./model.js").Column} Column */
/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Queue} Queue */

/** The height of a row, px: as the style says. */
const HEIGHT = 36;
/** So many more rows are made at each side. */
const MORE = 8;
const [WIDE, HIGH] = [96, 22];

/** @type {readonly { readonly head: string, readonly title?: string, readonly column?: Column }[]} */
const COLUMNS = [
  { head: "Queue", column: "name" },
  { head: "Broker", column: "broker" },
  { head: "Trend", title: "Ready messages, in the last two minutes" },
  { head: "Ready", column: "ready", title: "May be delivered now" },
  { head: "Delayed", column: "delayed", title: "Wait for their time" },
  {
    head: "Unacked",
    column: "unacked",
    title: "Delivered, and not settled",
  },
  { head: "Consumers", column: "consumers" },
  {
    head: "Oldest",
    column: "oldest",
    title: "How long the message whose turn it is has waited",
  },
  {
    head: "In /s",
    column: "in",
    title: "Messages that come in in a second, where the broker counts them",
  },
  {
    head: "Out /s",
    column: "out",
    title: "Messages that leave in a second, where the broker counts them",
  },
  {
    head: "Change /s",
    column: "rate",
    title: "By how much the depth changes in a second",
  },
];

/** The table. */
export class Table {
  #model;
  #open;
  #scroll = the("scroll");
  #table = /** @type {HTMLTableElement} */ (the("queues"));
  /** @type {Map<string, Line>} */
  #lines = new Map();
  #above = spacer();
  #below = spacer();
  /** The queue that the keys are at. @type {string | undefined} */
  #current;
  /** The queue that is open. @type {string | undefined} */
  opened;

  /**
   * Makes it.
   *
   * @param {Model} model What it shows.
   * @param {(queue: Queue) => void} open Opens a queue.
   */
  constructor(model, open) {
    this.#model = model;
    this.#open = open;
    this.#makeHead();
    this.#table.tBodies[0]?.append(this.#above, this.#below);
    this.#scroll.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.#scroll);
  }

  /** The queue that the keys are at. */
  get current() {
    return this.#model.find(this.#current);
  }

  /** Draws the rows that are seen. */
  draw() {
    const { shown } = this.#model;
    const top = this.#scroll.scrollTop;
    const first = Math.max(0, Math.floor(top / HEIGHT) - MORE);
    const seen = Math.ceil(this.#scroll.clientHeight / HEIGHT) + 2 * MORE;
    const wanted = shown.slice(first, first + seen);
    const keys = new Set(wanted.map(({ key }) => key));
    for (const [key, line] of this.#lines) {
      if (keys.has(key)) continue;
      line.row.remove();
      this.#lines.delete(key);
    }
    if (this.#current === undefined || this.current === undefined) {
      this.#current = shown[0]?.key;
    }
    this.#above.style.height = `${first * HEIGHT}px`;
    this.#below.style.height = `${
      (shown.length - first - wanted.length) * HEIGHT
    }px`;
    /** @type {Element} */
    let before = this.#above;
    const stroke = colour("--trend");
    for (const [i, queue] of wanted.entries()) {
      let line = this.#lines.get(queue.key);
      if (line === undefined) {
        line = new Line(() => this.#choose(queue));
        this.#lines.set(queue.key, line);
      }
      line.show(queue, first + i, stroke, {
        isCurrent: queue.key === this.#current,
        isOpen: queue.key === this.opened,
      });
      // One that is in its place already keeps its focus.
      if (before.nextElementSibling !== line.row) before.after(line.row);
      before = line.row;
    }
    this.#table.classList.toggle("counted", this.#model.isCounted);
    this.#table.classList.toggle("several", this.#model.brokers.size > 1);
    this.#table.setAttribute("aria-rowcount", String(shown.length + 1));
    const empty = the("empty");
    empty.hidden = shown.length > 0;
    empty.textContent = this.#model.count === 0
      ? "There are no queues yet."
      : "No queue passes the filter.";
    this.#showOrder();
  }

  /**
   * Moves the keys' place.
   *
   * @param {number} by So many rows.
   */
  move(by) {
    const { shown } = this.#model;
    const at = shown.findIndex(({ key }) => key === this.#current);
    const isFocused = this.#lines.get(this.#current ?? "")?.isFocused ?? false;
    const last = shown.length - 1;
    const to = isFocused
      ? Math.min(Math.max(at + by, 0), last)
      : Math.max(at, 0);
    this.#current = shown[to]?.key;
    const { scrollTop, clientHeight } = this.#scroll;
    const head = this.#table.tHead?.offsetHeight ?? 0;
    const [low, high] = [to * HEIGHT, (to + 1) * HEIGHT + head];
    if (low < scrollTop) this.#scroll.scrollTop = low;
    if (high > scrollTop + clientHeight) {
      this.#scroll.scrollTop = high - clientHeight;
    }
    this.draw();
    this.focus();
  }

  /** Takes the keys to the first row. */
  enter() {
    this.#current = this.#model.shown[0]?.key;
    this.#scroll.scrollTop = 0;
    this.draw();
    this.focus();
  }

  /** Takes the focus to the keys' place. */
  focus() {
    this.#lines.get(this.#current ?? "")?.focus();
  }

  /** @param {Queue} queue */
  #choose(queue) {
    this.#current = queue.key;
    this.#open(queue);
  }

  #makeHead() {
    const heads = COLUMNS.map(({ head, title, column }) => {
      const isNumber = column !== undefined && column !== "name" &&
        column !== "broker";
      return make(
        "th",
        { scope: "col", class: isNumber && "number", title },
        column === undefined ? head : make("button", {
          type: "button",
          onclick: () => {
            this.#model.orderBy(column);
            this.draw();
          },
        }, head),
      );
    });
    this.#table.tHead?.append(
      make("tr", { "aria-rowindex": 1 }, ...heads),
    );
  }

  #showOrder() {
    const { column, isDown } = this.#model.order;
    for (const [i, each] of COLUMNS.entries()) {
      const head = this.#table.tHead?.rows[0]?.cells[i];
      if (each.column === column) {
        head?.setAttribute("aria-sort", isDown ? "descending" : "ascending");
      } else head?.removeAttribute("aria-sort");
    }
  }
}

function spacer() {
  return make("tr", { class: "space", "aria-hidden": "true" });
}

/** A row. */
class Line {
  #name = make("button", { type: "button", class: "name" });
  #badge = make("span", { class: "badge", hidden: true }, "dead letters");
  #broker = make("td", { class: "broker" });
  #canvas = make("canvas", { width: 2 * WIDE, height: 2 * HIGH });
  #cells = COLUMNS.slice(3).map(() => make("td", { class: "number" }));
  row;

  /** @param {() => void} choose */
  constructor(choose) {
    this.row = make(
      "tr",
      { onclick: choose },
      make("th", { scope: "row" }, this.#name, this.#badge),
      this.#broker,
      make("td", { class: "trend" }, this.#canvas),
      ...this.#cells,
    );
    this.#canvas.setAttribute("aria-hidden", "true");
  }

  get isFocused() {
    return document.activeElement === this.#name;
  }

  focus() {
    this.#name.focus({ preventScroll: true });
  }

  /**
   * @param {Queue} queue
   * @param {number} index
   * @param {string} stroke The colour of the trend.
   * @param {{ isCurrent: boolean, isOpen: boolean }} marks
   */
  show(queue, index, stroke, { isCurrent, isOpen }) {
    const texts = [
      count(queue.ready),
      count(queue.delayed),
      count(queue.unacked),
      count(queue.consumers),
      age(queue.oldest),
      count(queue.in),
      count(queue.out),
      rate(queue.rate),
    ];
    write(this.#name, queue.name);
    this.#name.title = queue.name;
    // Its user stands in the broker's card, and would leave no room for its host.
    write(this.#broker, queue.broker.name.replace(/\/\/[^/@]*@/, "//"));
    this.#broker.title = queue.broker.name;
    for (const [i, text] of texts.entries()) {
      const cell = this.#cells[i];
      if (cell !== undefined) write(cell, text);
    }
    const last = this.#cells.at(-1);
    if (last !== undefined) {
      last.dataset.sign = String(Math.sign(queue.rate ?? 0));
    }
    const isFull = queue.letters !== undefined && (queue.ready ?? 0) > 0;
    this.#badge.hidden = queue.letters === undefined;
    this.#badge.classList.toggle("full", isFull);
    this.#name.tabIndex = isCurrent ? 0 : -1;
    this.row.setAttribute("aria-rowindex", String(index + 2));
    this.row.classList.toggle("open", isOpen);
    this.row.classList.toggle("stale", queue.broker.state === "down");
    if (isOpen) this.#name.setAttribute("aria-current", "true");
    else this.#name.removeAttribute("aria-current");
    this.#drawTrend(queue.spark, stroke);
  }

  /**
   * @param {(number | null)[]} values
   * @param {string} stroke
   */
  #drawTrend(values, stroke) {
    const context = this.#canvas.getContext("2d");
    if (context === null) return;
    const [wide, high] = [2 * WIDE, 2 * HIGH];
    context.clearRect(0, 0, wide, high);
    const most = Math.max(...values.map((each) => each ?? 0), 1);
    const step = wide / 59;
    const start = wide - (values.length - 1) * step;
    const y = (/** @type {number} */ value) =>
      high - 3 - value / most * (high - 8);
    context.beginPath();
    let isDown = false;
    for (const [i, value] of values.entries()) {
      if (value === null) isDown = false;
      else if (isDown) context.lineTo(start + i * step, y(value));
      else context.moveTo(start + i * step, y(value));
      if (value !== null) isDown = true;
    }
    context.strokeStyle = stroke;
    context.lineWidth = 3;
    context.lineJoin = "round";
    context.stroke();
  }
}

/**
 * Writes a text where it is another one: what stays costs nothing.
 *
 * @param {HTMLElement} element
 * @param {string} text
 */
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
