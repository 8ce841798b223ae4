/** Messages, decoded: what each says, where it comes from, and why it is dead. */

import { make } from "./dom.js";
import { count } from "./numbers.js";

/**
 * @typedef {object} Message
 * @property {string} [id]
 * @property {string} routingKey
 * @property {string} exchange
 * @property {boolean} redelivered
 * @property {number} [deliveryCount]
 * @property {string} [timestamp] When it was published.
 * @property {Record<string, unknown>} properties
 * @property {Record<string, unknown>} headers
 * @property {string} [from] The queue that a dead letter came from.
 * @property {number} attempt
 * @property {{ queue: string, reason: string, count: number }[]} deaths
 * @property {string} [failure] The error that it failed with.
 * @property {string} [error] Why the payload cannot be read.
 * @property {number} size Bytes.
 * @property {boolean} isText
 * @property {string} text The payload, or its bytes in base64.
 * @property {boolean} isCut
 */

/**
 * Shows messages. Those that are open in a list stay open in the next one.
 *
 * @param {Message[]} messages The messages.
 * @param {(message: Message) => Node[]} deeds What may be done with one.
 * @param {ParentNode} before The list that is shown now.
 * @returns {HTMLElement} A list.
 */
export function listOf(messages, deeds, before) {
  /** @type {NodeListOf<HTMLElement>} */
  const opened = before.querySelectorAll("details[open]");
  const open = new Set(Array.from(opened, ({ dataset }) => dataset.id));
  const isOpen = (/** @type {Message} */ { id }) =>
    messages.length === 1 || (id !== undefined && open.has(id));
  const items = messages.map((message) =>
    make(
      "li",
      {},
      make(
        "details",
        { "data-id": message.id, open: isOpen(message) },
        summaryOf(message),
        detailsOf(message),
        ...deeds(message),
      ),
    )
  );
  return make("ol", { class: "messages" }, ...items);
}

/** @param {Message} message */
function summaryOf(message) {
  const { id, text, failure, error, deaths, from } = message;
  const reason = failure ?? deaths[0]?.reason;
  const line = (error === undefined ? text : `(${error})`)
    .replace(/\s+/g, " ").slice(0, 200);
  return make(
    "summary",
    {},
    make("span", { class: "payload" }, line),
    reason !== undefined && make("span", { class: "failure" }, reason),
    make(
      "span",
      { class: "quiet meta" },
      [from && `from ${from}`, id, sizeOf(message)].filter(Boolean).join(" · "),
    ),
  );
}

/** @param {Message} message */
function detailsOf(message) {
  const { properties, headers, deaths, text, isCut, error } = message;
  const { attempt, from, failure, size } = message;
  const facts = {
    id: message.id,
    published: message.timestamp === undefined
      ? undefined
      : new Date(message.timestamp).toISOString(),
    exchange: message.exchange === "" ? undefined : message.exchange,
    "routing key": message.routingKey,
    redelivered: message.redelivered ? "yes" : undefined,
    deliveries: message.deliveryCount,
    attempt: attempt > 1 || from !== undefined ? attempt : undefined,
    "came from": from,
    failed: failure,
    ...properties,
  };
  return make(
    "div",
    { class: "details" },
    error !== undefined &&
      make("p", { class: "failure" }, `It cannot be read: ${error}`),
    make("h4", {}, error === undefined ? "Payload" : "Body, in base64"),
    make("pre", { tabindex: 0, "aria-label": "Payload" }, text),
    isCut &&
      make(
        "p",
        { class: "quiet" },
        `Only the first ${count(text.length)} characters are shown of ${
          count(size)
        } bytes: dashi peek has all.`,
      ),
    tableOf("Properties", facts),
    tableOf("Headers", headers),
    deaths.length > 0 &&
      tableOf(
        "Deaths, the last one first",
        Object.fromEntries(
          deaths.map(({ queue, reason, count }, i) => [
            `${i + 1}. ${queue}`,
            `${reason}, ${count === 1 ? "once" : `${count} times`}`,
          ]),
        ),
      ),
  );
}

/**
 * @param {string} title
 * @param {Record<string, unknown>} values
 */
function tableOf(title, values) {
  const rows = Object.entries(values).filter(([, value]) =>
    value !== undefined && value !== null
  );
  if (rows.length === 0) return undefined;
  return make(
    "table",
    { class: "facts" },
    make("caption", {}, title),
    make(
      "tbody",
      {},
      ...rows.map(([name, value]) =>
        make(
          "tr",
          {},
          make("th", { scope: "row" }, name),
          make(
            "td",
            {},
            typeof value === "string" ? value : JSON.stringify(value),
          ),
        )
      ),
    ),
  );
}

/** @param {Message} message */
function sizeOf({ size }) {
  return size < 1024 ? `${size} B` : `${(size / 1024).toFixed(1)} kB`;
}
