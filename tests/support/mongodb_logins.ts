/** Logins before a server of MongoDB's protocol that knows no users: SCRAM-SHA-256 as MongoDB speaks it (RFC 7677), for one user. */

import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { Buffer } from "node:buffer";
import { Binary } from "mongodb";
import { type Answer, MongodbRelay } from "./mongodb_relay.ts";

/** The user who may log in. */
const USER = "dashi";

const ROUNDS = 4096;

/** The commands that MongoDB answers before anybody has logged in; `""` is a query from before OP_MSG. */
const OPEN_TO_ALL: ReadonlySet<string> = new Set([
  "",
  "hello",
  "ismaster",
  "isMaster",
  "ping",
  "endSessions",
]);

const REFUSED: Answer = {
  ok: 0,
  errmsg: "Authentication failed.",
  code: 18,
  codeName: "AuthenticationFailed",
};

/** A login that has begun. */
interface Begun {
  readonly first: string;
  readonly second: string;
  readonly salt: Uint8Array;
}

/** A relay that lets through who has logged in. */
export class MongodbLogins implements AsyncDisposable {
  /** With this one may log in from now on; who has logged in stays so, as on MongoDB. */
  password: string;
  readonly #relay: MongodbRelay;
  readonly #begun = new WeakMap<Deno.Conn, Begun>();
  #known = new WeakSet<Deno.Conn>();

  /** Listens before the server of a URL. */
  constructor(url: string, password: string) {
    this.password = password;
    this.#relay = new MongodbRelay(url);
    this.#relay.refuse = (command, client, asked) => {
      if (command === "saslStart") return this.#start(client, asked);
      if (command === "saslContinue") return this.#proceed(client, asked);
      if (OPEN_TO_ALL.has(command) || this.#known.has(client)) return undefined;
      return {
        ok: 0,
        errmsg: `Command ${command} requires authentication`,
        code: 13,
        codeName: "Unauthorized",
      };
    };
  }

  /** The URL that leads through it, with a password. */
  urlOf(url: string, password: string): string {
    return `${
      this.#relay.urlOf(url).replace("://", `://${USER}:${password}@`)
    }?authMechanism=SCRAM-SHA-256`;
  }

  /** Closes all connections. */
  cut(): void {
    this.#relay.cut();
  }

  /** Nobody is logged in any more, as where the user was dropped and made anew. */
  forget(): void {
    this.#known = new WeakSet();
  }

  #start(client: Deno.Conn, asked: Answer): Answer {
    const first = textOf(asked.payload).replace(/^n,,/, "");
    const { n: user, r: nonce } = fieldsOf(first);
    if (asked.mechanism !== "SCRAM-SHA-256" || user !== USER) return REFUSED;
    const salt = randomBytes(16);
    const second = `r=${nonce}${randomBytes(18).toString("base64")},s=${
      salt.toString("base64")
    },i=${ROUNDS}`;
    this.#begun.set(client, { first, second, salt });
    return answerOf(second, false);
  }

  #proceed(client: Deno.Conn, asked: Answer): Answer {
    const third = textOf(asked.payload);
    const begun = this.#begun.get(client);
    // After the server's signature some ask once more, with nothing.
    if (third === "" && this.#known.has(client)) return answerOf("", true);
    if (begun === undefined) return REFUSED;
    const { first, second, salt } = begun;
    const [bare = "", proof = ""] = third.split(",p=");
    const salted = pbkdf2Sync(this.password, salt, ROUNDS, 32, "sha256");
    const said = `${first},${second},${bare}`;
    const key = sign(salted, "Client Key");
    const signed = sign(createHash("sha256").update(key).digest(), said);
    const right = Buffer.from(key.map((byte, i) => byte ^ (signed[i] ?? 0)));
    if (
      fieldsOf(bare).r !== fieldsOf(second).r ||
      proof !== right.toString("base64")
    ) return REFUSED;
    this.#known.add(client);
    const proven = sign(sign(salted, "Server Key"), said).toString("base64");
    return answerOf(`v=${proven}`, true);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay[Symbol.asyncDispose]();
  }
}

function answerOf(payload: string, done: boolean): Answer {
  const bytes = new Binary(new TextEncoder().encode(payload));
  return { conversationId: 1, done, payload: bytes, ok: 1 };
}

function sign(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

function textOf(payload: unknown): string {
  return payload instanceof Binary
    ? new TextDecoder().decode(payload.buffer)
    : "";
}

/** The parts of a message of SCRAM, by their letters. */
function fieldsOf(message: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]),
  );
}
