/** Puts the page together: what the server tells, what is shown, and the keys. */

import { plural, showBrokers } from "./brokers.js";
import { ask, the } from "./dom.js";
import { keyIn, Model } from "./model.js";
import { Panel } from "./panel.js";
import { Table } from "./table.js";

/** @typedef {import("./model.js").Queue} Queue */

const model = new Model();
const table = new Table(model, open);
/** @type {Panel | undefined} */
let panel;

const filter = /** @type {HTMLInputElement} */ (the("filter"));
const theme = /** @type {HTMLSelectElement} */ (the("theme"));
const keys = /** @type {HTMLDialogElement} */ (the("keys"));
const trouble = the("trouble");

listen();
choosePlace();
chooseColours();
// It may have a text already: of before a reload, or typed while this was loaded.
model.filter = filter.value;
filter.addEventListener("input", () => {
  model.filter = filter.value;
  model.arrange();
  table.draw();
});
the("help").addEventListener("click", () => keys.showModal());
the("by-name").addEventListener("submit", openByName);
addEventListener("hashchange", choosePlace);
addEventListener("keydown", onKey);

function listen() {
  const source = new EventSource("events");
  const on = (
    /** @type {string} */ name,
    /** @type {(told: any) => void} */ take,
  ) => {
    source.addEventListener(
      name,
      ({ data }) => inTurn(() => take(JSON.parse(data))),
    );
  };
  on("all", (all) => {
    trouble.hidden = true;
    model.takeAll(all);
  });
  on("rows", (some) => model.takeRows(some));
  on("listed", () => {
    model.arrange();
    if (panel === undefined) choosePlace();
    else panel.take(model.find(panel.queue.key));
    draw();
  });
  on("change", (change) => {
    const broker = model.takeChange(change);
    if (panel !== undefined && panel.queue.broker === broker) {
      panel.take(model.find(panel.queue.key));
      panel.add(change.at);
    }
    // It may be of the queue that was opened by its name.
    if (model.find(keyIn(location.hash)) !== panel?.queue) choosePlace();
    draw();
  });
  source.addEventListener("error", () => {
    trouble.hidden = false;
    trouble.textContent = source.readyState === EventSource.CLOSED
      ? "dashi ui was started anew, or has ended. Open the link that it printed last."
      : "dashi ui does not answer: the numbers are old. Trying again …";
  });
}

/** What the server has told, and was not taken yet. @type {(() => void)[]} */
const waiting = [];

/**
 * Does what the server tells, each in a task of its own: it may tell much at once, and keys
 * and clicks come between.
 *
 * @param {() => void} deed
 */
function inTurn(deed) {
  if (waiting.push(deed) > 1) return;
  const next = () => {
    const first = waiting[0];
    setTimeout(() => {
      waiting.shift();
      if (waiting.length > 0) next();
    });
    first?.();
  };
  next();
}

function draw() {
  showBrokers([...model.brokers.values()]);
  the("summary").textContent = `${plural(model.count, "queue")} on ${
    plural(model.brokers.size, "broker")
  }`;
  table.draw();
}

/** @param {Queue | undefined} queue */
function open(queue) {
  if (queue === undefined) return close();
  if (panel?.queue === queue) return;
  panel?.close();
  panel = new Panel(queue, close);
  table.opened = queue.key;
  document.body.classList.add("opened");
  history.replaceState(null, "", `#${encodeURIComponent(queue.key)}`);
  document.title = `${queue.name} – Dashi`;
  table.draw();
}

function close() {
  if (panel === undefined) return;
  panel.close();
  panel = undefined;
  table.opened = undefined;
  document.body.classList.remove("opened");
  history.replaceState(null, "", location.pathname);
  document.title = "Dashi";
  table.draw();
  table.focus();
}

/** @param {SubmitEvent} event */
async function openByName(event) {
  event.preventDefault();
  const choice = /** @type {HTMLSelectElement} */ (the("by-name-broker"));
  const input = /** @type {HTMLInputElement} */ (the("by-name-queue"));
  const [id, queue] = [Number(choice.value), input.value];
  const failed = the("by-name-failed");
  failed.textContent = "";
  try {
    await ask("open", { broker: id, queue });
    // Its numbers may be here already, or come now.
    location.hash = encodeURIComponent(`${id}/${queue}`);
  } catch (error) {
    failed.textContent = error instanceof Error ? error.message : String(error);
  }
}

/** Opens the queue that the address names. */
function choosePlace() {
  const found = model.find(keyIn(location.hash));
  if (found !== undefined) open(found);
}

function chooseColours() {
  const root = document.documentElement;
  const use = (/** @type {string} */ name) => {
    if (name === "system") delete root.dataset.theme;
    else root.dataset.theme = name;
    theme.value = name;
    table.draw();
    panel?.redraw();
  };
  theme.addEventListener("change", () => {
    localStorage.setItem("dashi-theme", theme.value);
    use(theme.value);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener(
    "change",
    () => use(theme.value),
  );
  use(localStorage.getItem("dashi-theme") ?? "system");
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (document.querySelector("dialog[open]") !== null) return;
  const { key, target } = event;
  if (key === "Escape") return onEscape(target);
  const isTyping = target instanceof HTMLElement &&
    target.matches("input, textarea, select, pre");
  if (target === filter && (key === "Enter" || key === "ArrowDown")) {
    event.preventDefault();
    table.enter();
  }
  if (isTyping) return;
  /** @type {Readonly<Record<string, () => void>>} */
  const deeds = {
    j: () => table.move(1),
    ArrowDown: () => table.move(1),
    k: () => table.move(-1),
    ArrowUp: () => table.move(-1),
    m: () => void panel?.look(),
    "/": () => filter.select(),
    "?": () => keys.showModal(),
  };
  const deed = deeds[key];
  if (deed === undefined) return;
  event.preventDefault();
  deed();
}

/** @param {EventTarget | null} target */
function onEscape(target) {
  if (target === filter) {
    filter.value = model.filter = "";
    model.arrange();
    table.draw();
    table.focus();
  } else close();
}
