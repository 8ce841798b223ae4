/** The brokers: what they are, how they are, and why one does not answer. */

import { breakable, make, the } from "./dom.js";
import { count } from "./numbers.js";

/** @typedef {import("./model.js").Broker} Broker */

const STATES = {
  connecting: "connecting",
  up: "answers",
  down: "cannot be looked at",
};

const UNLISTED =
  "It lists no queue by itself: set DASHI_MANAGEMENT_URL to RabbitMQ's management API, as http://localhost:15672, or open queues by their names.";

/**
 * Shows all brokers.
 *
 * @param {readonly Broker[]} brokers The brokers.
 */
export function showBrokers(brokers) {
  const cards = brokers.map((broker) => {
    const { name, state, error, advice, queues, lists } = broker;
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
        make("span", {}, ...breakable(name)),
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
          state === "up" && !lists && `. ${UNLISTED}`,
        ),
    );
  });
  showUnlisted(brokers);
  const section = the("brokers");
  const texts = cards.map(({ outerHTML }) => outerHTML).join("");
  if (section.dataset.shown === texts) return;
  section.dataset.shown = texts;
  section.replaceChildren(...cards);
}

/**
 * Has the brokers that list nothing chosen from, to open a queue of theirs by its name.
 *
 * @param {readonly Broker[]} brokers
 */
function showUnlisted(brokers) {
  const unlisted = brokers.filter(({ lists }) => !lists);
  the("by-name").hidden = unlisted.length === 0;
  const choice = the("by-name-broker");
  if (choice.children.length === unlisted.length) return;
  choice.replaceChildren(
    ...unlisted.map(({ id, name }) => make("option", { value: id }, name)),
  );
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
