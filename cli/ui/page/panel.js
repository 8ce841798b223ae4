/** One queue: its charts, its messages, and what may be done with it. */

import { plural } from "./brokers.js";
import { Charts } from "./charts.js";
import { ask, breakable, make, question, the } from "./dom.js";
import { age, count, rate } from "./numbers.js";
import { listOf } from "./messages.js";
import { UNKNOWN } from "./model.js";

/** @typedef {import("./model.js").Queue} Queue */

/** So many messages are looked at. */
const MOST = 20;

/** The panel of a queue. */
export class Panel {
  #queue;
  #element = the("panel");
  /** @type {Charts | undefined} */
  #charts;
  #figures = make("dl", { class: "figures" });
  #chartPlace = make("div", { class: "charts" });
  #told = make("p", { class: "told", role: "status" });
  #gone = make(
    "p",
    { class: "quiet", hidden: true },
    "The broker does not list this queue any more: it was deleted, or is empty where empty queues are not listed.",
  );
  #failed = make("p", { class: "failed", role: "alert" });
  #list = make("div", { class: "list" });
  #isClosed = false;
  /** How often its messages were looked at. */
  #looks = 0;

  /**
   * Opens it.
   *
   * @param {Queue} queue The queue.
   * @param {() => void} close Closes it.
   */
  constructor(queue, close) {
    this.#queue = queue;
    const { name, broker, letters } = queue;
    this.#element.replaceChildren(
      make(
        "header",
        {},
        make(
          "div",
          {},
          make("h2", {}, name),
          make("p", { class: "quiet" }, ...breakable(broker.name)),
        ),
        make("button", {
          type: "button",
          class: "close",
          "aria-label": "Close",
          onclick: close,
        }, "×"),
      ),
      this.#figures,
      this.#gone,
      this.#told,
      this.#failed,
      // Who opens a queue of dead letters looks for those.
      ...(letters === undefined
        ? [this.#chartPlace, this.#messagesPart()]
        : [this.#lettersForm(), this.#messagesPart(), this.#chartPlace]),
      this.#publishForm(),
      this.#purgePart(),
    );
    this.#element.hidden = false;
    this.#element.setAttribute("aria-label", `Queue ${name}`);
    this.#element.scrollTop = 0;
    this.show();
    this.#load();
    if (broker.shows) this.look();
  }

  /** What is shown. */
  get queue() {
    return this.#queue;
  }

  /**
   * Goes on with the queue as it is known now. What is typed, and what was told, stays.
   *
   * @param {Queue | undefined} queue It; nothing where the broker does not list it any more.
   */
  take(queue) {
    this.#gone.hidden = queue !== undefined;
    this.#queue = queue ?? {
      ...this.#queue,
      ...UNKNOWN,
      letters: this.#queue.letters,
    };
    this.show();
  }

  /** Shows the numbers of now. */
  show() {
    const { ready, delayed, unacked, consumers, oldest, ...rest } = this.#queue;
    const figures = {
      Ready: count(ready),
      ...(delayed === undefined ? {} : { Delayed: count(delayed) }),
      Unacked: count(unacked),
      Consumers: count(consumers),
      Oldest: age(oldest),
      ...(rest.in === undefined
        ? { "Change /s": rate(rest.rate) }
        : { "In /s": count(rest.in), "Out /s": count(rest.out) }),
    };
    this.#figures.replaceChildren(
      ...Object.entries(figures).map(([name, value]) =>
        make("div", {}, make("dt", {}, name), make("dd", {}, value))
      ),
    );
  }

  /**
   * Adds the numbers of now to the charts.
   *
   * @param {number} at When, ms since 1970.
   */
  add(at) {
    this.show();
    this.#charts?.add(this.#queue, at);
  }

  /** Draws the charts anew, in other colours. */
  redraw() {
    this.#charts?.draw();
  }

  /** Closes it. */
  close() {
    this.#isClosed = true;
    this.#charts?.close();
    this.#element.hidden = true;
    this.#element.replaceChildren();
  }

  /** Looks at its messages. */
  async look() {
    const look = ++this.#looks;
    const found = await this.#do("messages", { max: MOST });
    // An answer that is overtaken may show what is gone.
    if (look !== this.#looks || found === undefined || this.#isClosed) return;
    const { messages, taken } = found;
    const note = taken
      ? "This broker shows messages by handing them out: each was taken for a moment and given back, and counts as delivered once more."
      : undefined;
    this.#list.replaceChildren(
      messages.length === 0
        ? make("p", { class: "quiet" }, "No message is ready.")
        : listOf(messages, (message) => this.#deeds(message), this.#list),
      note === undefined ? "" : make("p", { class: "quiet" }, note),
    );
  }

  async #load() {
    const found = await this.#do("queue", {});
    if (found === undefined || this.#isClosed) return;
    this.#charts = new Charts(found.past);
    this.#chartPlace.replaceWith(this.#charts.element);
  }

  /**
   * Asks the server, and tells in place what went wrong.
   *
   * @param {string} action
   * @param {Record<string, unknown>} wanted
   */
  async #do(action, wanted) {
    const { broker, name } = this.#queue;
    this.#failed.textContent = "";
    try {
      return await ask(action, { broker: broker.id, queue: name, ...wanted });
    } catch (error) {
      this.#failed.textContent = error instanceof Error
        ? error.message
        : String(error);
      return undefined;
    }
  }

  /** @param {string} text */
  #tell(text) {
    this.#told.textContent = text;
  }

  #messagesPart() {
    return make(
      "section",
      { "aria-label": "Messages" },
      make(
        "div",
        { class: "title" },
        make("h3", {}, "Messages"),
        make("button", {
          type: "button",
          onclick: () => this.look(),
        }, "Look at messages"),
      ),
      this.#queue.broker.shows ? "" : make(
        "p",
        { class: "quiet" },
        "To be shown, messages of this broker are taken for a moment and given back.",
      ),
      this.#list,
    );
  }

  /** @param {import("./messages.js").Message} message */
  #deeds(message) {
    // Where no queue names it, and its name does not say it, its messages do.
    const { letters, name } = this.#queue;
    const isDead = letters !== undefined ||
      (message.from !== undefined && message.from !== name);
    if (!isDead || message.id === undefined) return [];
    return [make(
      "div",
      { class: "buttons" },
      make("button", {
        type: "button",
        onclick: () => this.#redriveOne(message),
      }, "Redrive this one"),
      make("button", {
        type: "button",
        class: "danger",
        onclick: () => this.#drop(message),
      }, "Drop this one"),
    )];
  }

  /** @param {import("./messages.js").Message} message */
  async #drop({ id }) {
    const isSure = await question({
      title: "Drop this dead letter?",
      text: "It is removed for good.",
      yes: "Drop it",
    });
    if (!isSure) return;
    const done = await this.#do("drop", { id });
    if (done === undefined) return;
    this.#tell("The dead letter is dropped.");
    await this.look();
  }

  /** @param {import("./messages.js").Message} message */
  async #redriveOne({ id }) {
    const done = await this.#do("redrive", { id });
    if (done !== undefined) await this.#tellRedriven(done);
  }

  /** @param {{ moved: number, kept: number }} done */
  async #tellRedriven({ moved, kept }) {
    this.#tell(
      `${plural(moved, "message")} redriven.${
        kept === 0
          ? ""
          : ` Kept: ${
            count(kept)
          }, for the queue is not named, or gone. Give a queue to put them in.`
      }`,
    );
    await this.look();
  }

  #lettersForm() {
    const { letters = [] } = this.#queue;
    const limit = make("input", {
      type: "number",
      min: 1,
      inputmode: "numeric",
      placeholder: "all",
    });
    const to = make("input", {
      placeholder: "where each came from",
      autocomplete: "off",
      spellcheck: "false",
    });
    return make(
      "section",
      { "aria-label": "Dead letters", class: "letters" },
      make("h3", {}, "Dead letters"),
      letters.length > 0 &&
        make("p", { class: "quiet" }, `Of ${letters.join(", ")}.`),
      make(
        "form",
        {
          onsubmit: (/** @type {SubmitEvent} */ event) => {
            event.preventDefault();
            this.#redrive({
              limit: limit.value === "" ? undefined : limit.valueAsNumber,
              to: to.value,
            });
          },
        },
        make("label", {}, make("span", {}, "How many"), limit),
        make("label", {}, make("span", {}, "To queue"), to),
        make("button", { class: "main" }, "Redrive"),
      ),
    );
  }

  /** @param {{ limit?: number | undefined, to?: string }} given */
  async #redrive({ limit, to }) {
    const { ready } = this.#queue;
    if (limit === undefined) {
      const isSure = await question({
        title: "Redrive all of them?",
        text: `${plural(Number(ready), "dead letter")}: each goes back to ${
          to || "the queue that it came from"
        }, with new attempts.`,
        yes: "Redrive",
      });
      if (!isSure) return;
    }
    const done = await this.#do("redrive", { limit, to });
    if (done !== undefined) await this.#tellRedriven(done);
  }

  #publishForm() {
    const payload = make("textarea", {
      rows: 4,
      spellcheck: "false",
      placeholder: '{"id": 7}',
      required: true,
    });
    const headers = make("textarea", {
      rows: 2,
      spellcheck: "false",
      placeholder: '{"tenant": "7"}',
    });
    const delay = make("input", {
      type: "number",
      min: 0,
      value: 0,
      step: "any",
    });
    const kind = make(
      "select",
      {},
      make("option", { value: "json" }, "JSON"),
      make("option", { value: "text" }, "Text"),
    );
    const publish = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const done = await this.#do("publish", {
        payload: payload.value,
        isText: kind.value === "text",
        headers: headers.value,
        delay: delay.valueAsNumber || 0,
      });
      if (done === undefined) return;
      this.#tell("The broker has the message.");
      if (this.#queue.broker.shows) await this.look();
    };
    return make(
      "details",
      { class: "part" },
      make("summary", {}, "Publish a message"),
      make(
        "form",
        { onsubmit: publish },
        make("label", {}, make("span", {}, "Payload"), payload),
        make("label", {}, make("span", {}, "Headers, as JSON"), headers),
        make(
          "div",
          { class: "row" },
          make("label", {}, make("span", {}, "As"), kind),
          make("label", {}, make("span", {}, "Delay, seconds"), delay),
          make("button", { class: "main" }, "Publish"),
        ),
      ),
    );
  }

  #purgePart() {
    const purge = async () => {
      const { name, ready } = this.#queue;
      const isSure = await question({
        title: `Purge ${name}?`,
        text: `Its ready messages, ${count(ready)} now, are removed for good.`,
        yes: "Purge",
        typed: name,
      });
      if (!isSure) return;
      const done = await this.#do("purge", { confirm: name });
      if (done === undefined) return;
      this.#tell(`${plural(done.purged, "message")} removed.`);
      this.#list.replaceChildren();
    };
    return make(
      "details",
      { class: "part" },
      make("summary", {}, "Purge the queue"),
      make(
        "p",
        { class: "quiet" },
        "Removes all ready messages for good. Those that are delivered stay.",
      ),
      make(
        "button",
        { type: "button", class: "danger", onclick: purge },
        "Purge …",
      ),
    );
  }
}
