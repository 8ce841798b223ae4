/** Makes elements. All that a broker says becomes text, never markup. */

/**
 * Finds an element of the page.
 *
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id Its id.
 * @returns {T} The element.
 */
export function the(id) {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no "${id}"`);
  return /** @type {T} */ (found);
}

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag Its name.
 * @param {Record<string, unknown>} [given] Its attributes; functions are listeners of what `on…` names.
 * @param {(Node | string | undefined | false)[]} children What is in it.
 * @returns {HTMLElementTagNameMap[K]} The element.
 */
export function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") {
      element.addEventListener(
        name.slice(2),
        /** @type {EventListener} */ (value),
      );
    } else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const each of children) {
    if (each !== undefined && each !== false) element.append(each);
  }
  return element;
}

/**
 * Writes a URL that breaks behind its signs, and not within its words.
 *
 * @param {string} text The URL.
 * @returns {(string | Node)[]} Its parts.
 */
export function breakable(text) {
  return text.split(/(?<=[/@?&,;:.-])(?=[^/])/)
    .flatMap((part, i) => i === 0 ? [part] : [make("wbr"), part]);
}

const probe = make("span", { hidden: true });

/**
 * Reads a colour of the style, as it is in the colours that hold now: a canvas knows no others.
 *
 * @param {string} name Its name in the style.
 * @returns {string} The colour.
 */
export function colour(name) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/**
 * Asks the server.
 *
 * @param {string} action What is wanted.
 * @param {Record<string, unknown>} wanted What of.
 * @returns {Promise<any>} The answer. It rejects with what went wrong, and what to do.
 */
export async function ask(action, wanted) {
  let response;
  try {
    response = await fetch(action, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wanted),
    });
  } catch {
    throw new Error("dashi ui does not answer. Does it still run?");
  }
  if (response.status === 401) {
    throw new Error(
      "dashi ui was started anew. Open the link that it printed.",
    );
  }
  const isJson = response.headers.get("content-type")?.includes("json");
  if (!isJson) throw new Error(await response.text());
  const answer = await response.json();
  if (response.ok) return answer;
  const { error, advice } = answer;
  throw new Error(advice === undefined ? error : `${error}. ${advice}`);
}

/**
 * Asks a question that wants a second thought.
 *
 * @param {{ title: string, text: string, yes: string, typed?: string }} question The question; with `typed`, what is to be typed for yes.
 * @returns {Promise<boolean>} Whether the answer is yes.
 */
export function question({ title, text, yes, typed }) {
  const dialog = /** @type {HTMLDialogElement} */ (the("question"));
  const input = /** @type {HTMLInputElement} */ (the("question-input"));
  const button = /** @type {HTMLButtonElement} */ (the("question-yes"));
  the("question-title").textContent = title;
  the("question-text").textContent = text;
  the("question-typed").hidden = typed === undefined;
  button.textContent = yes;
  input.value = "";
  const judge = () => {
    button.disabled = typed !== undefined && input.value !== typed;
  };
  judge();
  input.oninput = judge;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener(
      "close",
      () =>
        resolve(
          dialog.returnValue === "yes" &&
            (typed === undefined || input.value === typed),
        ),
      { once: true },
    );
  });
}
