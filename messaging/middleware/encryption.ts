import { DecodeError, OptionError } from "../../model/errors.ts";
import { printable, quote } from "../../model/foreign_text.ts";
import type { FieldTable } from "../../model/field_table.ts";
import { checkKnown, type KnownOptions, optionsOf } from "../known_options.ts";
import type {
  IncomingChanges,
  IncomingMessage,
  PlainProperties,
} from "./hooks.ts";
import type { Middleware } from "./middleware.ts";
import {
  bears,
  CLAIMED,
  ENCRYPTED,
  laySo,
  refuseWrapped,
  textIn,
  typeWithin,
  unwrap,
  wrap,
} from "./wrapping.ts";

/** Options of {@linkcode encryption}. */
export interface EncryptionOptions {
  /** The keys, by their ids: 16, 24 or 32 random bytes each, or a `CryptoKey` of AES-GCM. */
  readonly keys: Readonly<Record<string, Uint8Array | CryptoKey>>;
  /** The id of the key to encrypt with; the others are there to read what was encrypted before. */
  readonly current: string;
  /** Whether to hand over messages that are not encrypted, too: for the time in which encryption is introduced. @default {false} */
  readonly acceptPlain?: boolean | undefined;
}

const ENCRYPTION: KnownOptions = optionsOf<EncryptionOptions>("encryption", {
  keys: "object",
  current: "string",
  acceptPlain: "boolean",
}, {
  key: '"keys", by their ids, and "current"',
  keyId: '"current"',
  secret: '"keys"',
});

/** The cipher, as the header names it. */
const CIPHER = "AES-GCM";
const KEY_ID = `${ENCRYPTED.header}-key`;
/** The bytes of a nonce, which the body begins with. */
const NONCE = 12;
/** The bytes that a body has at least: a nonce, and the tag. */
const LEAST = NONCE + 16;
/** The sizes of a key, in bytes. */
const SIZES: ReadonlySet<number> = new Set([16, 24, 32]);

/**
 * Encrypts the body of each message by AES-GCM, with WebCrypto, and decrypts it where it is
 * handed over: to requests, answers and the ticks of schedules too. Nobody else reads it, at
 * the broker, in dead letters or in a claim store; headers and properties stay readable, and
 * with them the texts of errors in the headers of retries and dead letters.
 *
 * The body is bound to its message id, correlation id, type and content type: it cannot be
 * put into another message. One that was changed, or whose key is not there, cannot be read:
 * it goes to `onInvalid`, and is parked. To rotate keys, give all processes the new key
 * first, then name it as `current`, and take the old one out when nothing under it is left.
 * A key is good for four thousand million messages.
 *
 * @param options The keys, and the one to encrypt with.
 * @returns The middleware.
 * @throws {OptionError} If a key is none, or the current one is not there.
 *
 * @example Nothing readable at the broker
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createConnection, Queue } from "@dashi/mq";
 * import { encryption } from "@dashi/mq/middleware";
 *
 * const keys = { k1: crypto.getRandomValues(new Uint8Array(32)) };
 * await using connection = createConnection("memory://encryption");
 * await using other = connection.clone(); // which has no keys
 * connection.use(encryption({ keys, current: "k1" }));
 *
 * const patients = new Queue<string>("patients");
 * await connection.send(patients, "Ada");
 * await connection.send(patients, "Grace");
 * const lying = await other.queue(patients).get();
 * assertEquals(lying?.contentType, "application/vnd.dashi.encrypted");
 * await lying?.ack();
 * const consumer = connection.consumer(patients);
 * await consumer.run(({ payload }) => {
 *   assertEquals(payload, "Grace");
 *   void consumer.cancel();
 * });
 * ```
 */
export function encryption(options: EncryptionOptions): Middleware {
  const { current, acceptPlain = false } = checkOptions(options);
  const keys = new KeyRing(options.keys);

  const decrypt = async (
    message: IncomingMessage,
  ): Promise<IncomingChanges> => {
    const { headers, properties, body, queue } = message;
    const id = textIn(headers, KEY_ID) ?? "";
    const key = keys.get(id);
    if (key === undefined) {
      throw new DecodeError(
        `Cannot decrypt a message of queue "${queue}": there is no key ${
          quote(id)
        } here; there are ${keys.names}`,
      );
    }
    if (textIn(headers, ENCRYPTED.header) !== CIPHER || body.length < LEAST) {
      throw new DecodeError(
        `Cannot decrypt a message of queue "${queue}": it is no body of ${CIPHER}`,
      );
    }
    const secret = await key;
    if (!secret.usages.includes("decrypt")) {
      throw new DecodeError(
        `Cannot decrypt a message of queue "${queue}": the key ${
          quote(id)
        } is here for other uses, ${
          secret.usages.join(", ")
        }; "decrypt" must be one of them`,
      );
    }
    const within = { ...properties, ...typeWithin(ENCRYPTED, headers) };
    const bytes = new Uint8Array(body); // WebCrypto takes no shared memory
    try {
      const plain = await crypto.subtle.decrypt(
        {
          name: CIPHER,
          iv: bytes.subarray(0, NONCE),
          additionalData: boundTo(id, within, headers),
        },
        secret,
        bytes.subarray(NONCE),
      );
      return unwrap(ENCRYPTED, message, new Uint8Array(plain));
    } catch (cause) {
      throw new DecodeError(
        `Cannot decrypt a message of queue "${queue}": its body was changed, is that of another message, or was encrypted with another key than ${
          quote(id)
        } is here`,
        { cause },
      );
    }
  };

  return {
    async publish(message, next) {
      const { origin, headers, properties, body } = message;
      if (laySo(origin) && bears(ENCRYPTED, headers)) return await next();
      if (bears(CLAIMED, headers)) {
        if (origin === "redrive") return await next(); // it was published so
        throw new OptionError(
          "Cannot encrypt a body that lies in a claim store already: use encryption before claimCheck",
          { outcome: "not-sent" },
        );
      }
      refuseWrapped(ENCRYPTED, message, "encryption");
      const iv = crypto.getRandomValues(new Uint8Array(NONCE));
      const cipher = await crypto.subtle.encrypt(
        {
          name: CIPHER,
          iv,
          additionalData: boundTo(current, properties, headers),
        },
        await keys.get(current) as CryptoKey, // it was there from the start
        new Uint8Array(body),
      );
      const encrypted = new Uint8Array(NONCE + cipher.byteLength);
      encrypted.set(iv);
      encrypted.set(new Uint8Array(cipher), NONCE);
      await next(wrap(ENCRYPTED, message, encrypted, {
        [ENCRYPTED.header]: CIPHER,
        [KEY_ID]: current,
      }));
    },
    receive(message) {
      if (bears(ENCRYPTED, message.headers)) return decrypt(message);
      if (acceptPlain) return;
      throw new DecodeError(
        `Cannot hand over a message of queue "${message.queue}": it is not encrypted; "acceptPlain: true" of encryption takes such, too`,
      );
    },
  };
}

/** The keys, read when they are needed first. */
class KeyRing {
  readonly #given: ReadonlyMap<string, Uint8Array | CryptoKey>;
  readonly #keys = new Map<string, Promise<CryptoKey>>();

  constructor(given: EncryptionOptions["keys"]) {
    this.#given = new Map(Object.entries(given));
  }

  /** Their ids, for an error. */
  get names(): string {
    return [...this.#given.keys()].map((id) => quote(id)).join(", ");
  }

  get(id: string): Promise<CryptoKey> | undefined {
    const known = this.#keys.get(id);
    if (known !== undefined) return known;
    const given = this.#given.get(id);
    if (given === undefined) return undefined;
    const key = given instanceof Uint8Array
      ? crypto.subtle.importKey("raw", new Uint8Array(given), CIPHER, false, [
        "encrypt",
        "decrypt",
      ])
      : Promise.resolve(given);
    this.#keys.set(id, key);
    return key;
  }
}

/** All that a body is of no use without: it is the same when it is delivered, or redriven. */
function boundTo(
  key: string,
  { messageId, correlationId, type, contentType, contentEncoding }:
    PlainProperties,
  headers: FieldTable,
): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify([
    "dashi.1",
    key,
    messageId ?? "",
    correlationId ?? "",
    type ?? "",
    contentType ?? "",
    contentEncoding ?? "",
    textIn(headers, "compression") ?? "",
  ]));
}

function checkOptions(options: EncryptionOptions): EncryptionOptions {
  checkKnown(options, ENCRYPTION);
  const keys: unknown = options?.keys;
  if (typeof keys !== "object" || keys === null) {
    throw new OptionError(
      'Cannot encrypt without "keys": give an object of keys by their ids, and the id of the "current" one',
    );
  }
  for (const [id, key] of Object.entries(keys)) {
    if (id === "") {
      throw new OptionError("Cannot use a key without an id: name it");
    }
    const isKey = key instanceof Uint8Array
      ? SIZES.has(key.length)
      : key instanceof CryptoKey && key.algorithm.name === CIPHER;
    if (isKey) continue;
    const what = key instanceof Uint8Array ? `${key.length} bytes` : typeof key;
    throw new OptionError(
      `Cannot use ${what} as the key ${
        quote(id)
      } of encryption: it must be 16, 24 or 32 random bytes, or a CryptoKey of ${CIPHER}`,
    );
  }
  const { current } = options;
  if (typeof current === "string" && Object.hasOwn(keys, current)) {
    return options;
  }
  throw new OptionError(
    `Cannot use ${
      quote(current)
    } as the "current" key of encryption: "keys" has ${
      Object.keys(keys).map((id) => printable(id)).join(", ") || "none"
    }`,
  );
}
