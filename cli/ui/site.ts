import { jsonOf } from "../output.ts";
import { ACTIONS, failureIn, type Wanted, WantedError } from "./actions.ts";
import type { WatchedBroker } from "./broker.ts";
import { chartFile, pageFile } from "./files_client.ts";
import type { Live } from "./live.ts";
import type { Answer, Request } from "./server_client.ts";

const [SCRIPT, STYLE] = ["text/javascript", "text/css"];

/** The files of the page, and their types. */
const FILES: Readonly<Record<string, string>> = {
  "index.html": "text/html",
  "style.css": STYLE,
  "icon.svg": "image/svg+xml",
  "main.js": SCRIPT,
  "brokers.js": SCRIPT,
  "charts.js": SCRIPT,
  "dom.js": SCRIPT,
  "messages.js": SCRIPT,
  "model.js": SCRIPT,
  "numbers.js": SCRIPT,
  "panel.js": SCRIPT,
  "table.js": SCRIPT,
};

/** What the page and its scripts ask for. */
export class Site {
  readonly #brokers: readonly WatchedBroker[];
  readonly #live: Live;

  /** Makes one over brokers that somebody else looks at. */
  constructor(brokers: readonly WatchedBroker[], live: Live) {
    this.#brokers = brokers;
    this.#live = live;
  }

  /** Answers a request of somebody who may ask. */
  async answer({ method, path, body }: Request): Promise<Answer> {
    const name = path === "/" ? "index.html" : path.slice(1);
    if (method === "POST") return await this.#act(name, body);
    if (name === "events") {
      return {
        status: 200,
        type: "text/event-stream",
        body: (sink) => this.#live.tell(sink),
      };
    }
    if (name === "uPlot.esm.js" || name === "uPlot.min.css") {
      // Without it the page says so; a file that is missing would be an error of its console.
      const isScript = name.endsWith(".js");
      const none = isScript ? "export default undefined;" : "";
      return {
        status: 200,
        type: isScript ? SCRIPT : STYLE,
        body: await chartFile(name) ?? none,
      };
    }
    const type = Object.hasOwn(FILES, name) ? FILES[name] : undefined;
    return type === undefined
      ? notFound()
      : { status: 200, type, body: await pageFile(name) };
  }

  async #act(name: string, body: string): Promise<Answer> {
    const action = Object.hasOwn(ACTIONS, name) ? ACTIONS[name] : undefined;
    if (action === undefined) return notFound();
    try {
      const { wanted, broker, queue } = this.#read(body);
      const result = await action.run(broker, queue, wanted);
      if (action.changes) await this.#live.refresh(broker);
      return json(200, result);
    } catch (error) {
      const { status, ...told } = failureIn(error);
      return json(status, told);
    }
  }

  #read(body: string) {
    const wanted = objectIn(body);
    const { broker: id, queue } = wanted;
    const broker = typeof id === "number" ? this.#brokers[id] : undefined;
    if (broker === undefined) throw new WantedError("There is no such broker.");
    if (typeof queue !== "string") throw new WantedError("There is no queue.");
    return { wanted, broker, queue };
  }
}

function objectIn(text: string): Wanted {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Wanted;
  } catch {
    // Told below.
  }
  throw new WantedError("What is posted is an object of JSON.");
}

function notFound(): Answer {
  return { status: 404, type: "text/plain", body: "There is no such thing." };
}

function json(status: number, value: unknown): Answer {
  return { status, type: "application/json", body: jsonOf(value) };
}
