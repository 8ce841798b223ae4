import { cannotImport, exportsOf } from "../../model/dependency.ts";
import { asError } from "../../model/error_text.ts";
import {
  ConnectionError,
  OptionError,
  TransportError,
} from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";

/**
 * Runs a script of Lua on a Redis: for clients that are not ioredis, and for tests.
 *
 * @param script The script.
 * @param key Its one key.
 * @param args Its other arguments.
 * @returns The answer: a text, as these scripts return.
 */
export type EvalScript = (
  script: string,
  key: string,
  args: readonly string[],
) => Promise<unknown>;

/** The part of an ioredis client that an inbox uses. */
export interface IoredisClient {
  /** Runs a script. */
  eval(
    script: string,
    keys: number,
    ...args: (string | number)[]
  ): Promise<unknown>;
}

/** A Redis, and the way to leave it. */
export interface RedisOfInbox {
  readonly run: EvalScript;
  /** Closes the connection, if it was made here. */
  readonly close: () => Promise<void>;
}

/**
 * Opens a Redis. A connection of its own is made with the first call.
 *
 * @param redis A URL, an ioredis client, or a function that runs scripts.
 * @returns The Redis.
 * @throws {OptionError} If it is none of these.
 */
export function openRedis(
  redis: string | IoredisClient | EvalScript,
): RedisOfInbox {
  if (typeof redis === "function") {
    return { run: answering(redis), close: () => Promise.resolve() };
  }
  if (typeof redis === "string") return dial(redis);
  if (typeof redis?.eval === "function") {
    return {
      run: answering((script, key, args) =>
        redis.eval(script, 1, key, ...args)
      ),
      close: () => Promise.resolve(),
    };
  }
  throw new OptionError(
    `Cannot make an inbox of ${
      quote(redis)
    }: it must be a URL, such as "redis://localhost", a client of ioredis, or a function that runs scripts`,
  );
}

/** States of a client whose socket is closed. */
const ENDING = new Set(["close", "end"]);

/** A connection that was made here. */
interface Opened {
  readonly client: IoredisClient & {
    readonly status: string;
    disconnect(): void;
  };
  /** Resolves when its socket is closed. */
  readonly ended: Promise<void>;
  /** Why it was lost. */
  failure: unknown;
}

function dial(url: string): RedisOfInbox {
  if (!/^rediss?:\/\//.test(url)) {
    throw new OptionError(
      'Cannot make an inbox of this URL: it must begin with "redis://" or "rediss://"',
    );
  }
  let current: Promise<Opened> | undefined;
  const open = async (): Promise<Opened> => {
    const imported = await import("ioredis").catch((cause: unknown) => {
      throw cannotImport("open the inbox", ["ioredis"], cause);
    });
    const { Redis } = exportsOf(imported, "Redis");
    const client = new Redis(url, {
      connectionName: "dashi-inbox",
      // One that is lost is not dialled again: the next call opens another.
      retryStrategy: () => null,
      connectTimeout: 10_000,
      socketTimeout: 10_000,
    });
    const ended = new Promise<void>((resolve) => client.once("end", resolve));
    const opened: Opened = { client, ended, failure: undefined };
    client.on("error", (error: unknown) => opened.failure = error);
    return opened;
  };
  const openOne = () => {
    const opening = open();
    const forget = () => {
      if (current === opening) current = undefined;
    };
    opening.then(({ ended }) => ended).then(forget, forget);
    return opening;
  };
  return {
    run: answering(async (script, key, args) => {
      const opened = await (current ??= openOne());
      try {
        return await opened.client.eval(script, 1, key, ...args);
      } catch (error) {
        throw opened.failure ?? error;
      }
    }),
    async close() {
      const opened = await current;
      if (opened === undefined) return;
      // One that has lost its socket ends by itself; "disconnect" would wait for that socket.
      if (!ENDING.has(opened.client.status)) opened.client.disconnect();
      await opened.ended;
    },
  };
}

function answering(run: EvalScript): EvalScript {
  return async (script, key, args) => {
    try {
      return await run(script, key, args);
    } catch (cause) {
      if (cause instanceof TransportError) throw cause; // no client, ever
      throw new ConnectionError(
        `Cannot ask the inbox on Redis: ${asError(cause).message}`,
        { code: "connection-lost", cause },
      );
    }
  };
}
