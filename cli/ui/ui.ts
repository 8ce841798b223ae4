import { lineOf } from "../advice.ts";
import {
  type GlobalOptions,
  middlewaresOf,
  openConnection,
  urlsOf,
} from "../context.ts";
import { jsonOf } from "../output.ts";
import { type Terminal, UsageError } from "../terminal.ts";
import { WatchedBroker } from "./broker.ts";
import { Live } from "./live.ts";
import { serve } from "./server_client.ts";
import { interrupted } from "./signals_client.ts";
import { Site } from "./site.ts";

/** How the page is served. */
export interface UiArguments extends GlobalOptions {
  /** The port; 0 for one that is free. */
  readonly port: number;
  /** Seconds between two looks at a broker. */
  readonly interval: number;
}

/** How long a broker may take to answer, s. */
const PATIENCE = 10;

/**
 * Serves a page over several brokers, until it is ended.
 *
 * @param terminal The terminal.
 * @param given The brokers' URLs.
 * @param options The options of all commands, and its own.
 * @returns 0.
 */
export async function ui(
  terminal: Terminal,
  given: readonly string[],
  options: UiArguments,
): Promise<number> {
  const urls = await urlsOf(terminal, given, options);
  const settings = { ...options, timeout: options.timeout ?? PATIENCE };
  const places = managementOf(terminal, urls);
  const middlewares = await middlewaresOf(terminal, options);
  const brokers = urls.map((url, id) =>
    new WatchedBroker({
      id,
      open: () => {
        const connection = openConnection(terminal, url, settings, places[id]);
        for (const each of middlewares) connection.use(each);
        return connection;
      },
      now: () => Date.now(),
    })
  );
  const live = new Live(brokers, options.interval * 1000);
  const site = new Site(brokers, live);
  const token = secret();
  const server = await serve(
    options.port,
    token,
    (request) => site.answer(request),
  ).catch((error: unknown) => {
    throw new Error(
      `Cannot serve the page on 127.0.0.1:${options.port}: ${
        lineOf(error)
      }; give another --port, or none for one that is free`,
    );
  });
  const ended = interrupted();
  const running = live.run();
  try {
    const link = `http://127.0.0.1:${server.port}/?token=${token}`;
    if (options.json || terminal.columns === undefined) {
      await terminal.write(`${jsonOf({ link })}\n`);
    } else {
      await terminal.write(`${link}\n`);
      terminal.tell(
        "Whoever has this link may do all that the page can. Ctrl-C ends it.",
      );
    }
    await ended;
  } finally {
    live.stop();
    await server.close();
    // It ends a look at a broker that does not answer.
    await Promise.all([running, ...brokers.map((each) => each.close())]);
  }
  return 0;
}

/** The management APIs: one of all brokers, or one for each RabbitMQ, in their order. */
function managementOf(
  terminal: Terminal,
  urls: readonly string[],
): readonly (string | undefined)[] {
  const text = terminal.variable("DASHI_MANAGEMENT_URL")?.trim();
  if (!text) return [];
  const [first, ...more] = text.split(/\s+/);
  if (more.length === 0) return urls.map(() => first);
  const left = [first, ...more];
  const places = urls.map((url) =>
    /^(amqps?|pika|amqp-client|wss?):/.test(url) ? left.shift() : undefined
  );
  if (left.length === 0) return places;
  throw new UsageError(
    `DASHI_MANAGEMENT_URL has ${
      more.length + 1
    } URLs, more than there are of RabbitMQ`,
  );
}

function secret(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(
    /\//g,
    "_",
  );
}
