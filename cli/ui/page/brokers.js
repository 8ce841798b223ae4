/** The brokers: what they are, how they are, and why one does not answer. */

import { count, make, the } from "./dom.js";

/** @typedef {import("./model.js").Broker} Broker */

const STATES = {
  connecting: "connecting",
  up: "answers",
  down: "cannot be looked at",
};

/**
 * Shows all brokers.
 *
 * @param {Iterable<Broker>} brokers The brokers.
 */
export function showBrokers(brokers) {
  const cards = Array.from(brokers, (broker) => {
    const { name, state, error, advice, queues } = broker;
    const ready = sum(broker, "ready");
    const unacked = sum(broker, "unacked");
    return make(
      "article",
      { class: `card ${state}` },
      make(
        "h2",
        {},
        make("span", {
          class: "dot",
          role: "img",
          "aria-label": STATES[state],
        }),
        name,
      ),
      state === "down"
        ? make(
          "p",
          { class: "why" },
          error ?? "",
          advice !== undefined &&
            make("span", { class: "quiet" }, ` ${advice}`),
        )
        : make(
          "p",
          { class: "quiet" },
          state === "connecting" ? "connecting …" : [
            plural(queues.size, "queue"),
            ready !== undefined && `${count(ready)} ready`,
            unacked !== undefined && `${count(unacked)} unacked`,
          ].filter(Boolean).join(" · "),
        ),
    );
  });
  const section = the("brokers");
  const texts = cards.map(({ outerHTML }) => outerHTML).join("");
  if (section.dataset.shown === texts) return;
  section.dataset.shown = texts;
  section.replaceChildren(...cards);
}

/**
 * Writes how many there are of something.
 *
 * @param {number} number How many.
 * @param {string} word What one is called.
 * @returns {string} The text.
 */
export function plural(number, word) {
  return `${count(number)} ${word}${number === 1 ? "" : "s"}`;
}

/**
 * @param {Broker} broker
 * @param {"ready" | "unacked"} column
 */
function sum({ queues }, column) {
  let all;
  for (const queue of queues.values()) {
    const value = queue[column];
    if (value !== undefined) all = (all ?? 0) + value;
  }
  return all;
}
