import {
  createInbox,
  type MsgHdrs,
  type NatsConnection,
  type Payload,
  type PublishOptions,
} from "@nats-io/transport-node";
import type { Clock } from "../../async/clock.ts";
import { Pauses } from "../../async/pause.ts";
import { ServerTime } from "../server_time.ts";
import { cut, dial, type DialSettings } from "./dial_client.ts";
import {
  answerOf,
  type NatsMessage,
  type NatsSubscription,
  statusError,
} from "./answers.ts";
import { pastElections } from "./elections.ts";
import { CODES, PermissionError } from "./errors.ts";
import { readable, written } from "./headers.ts";

/** How to connect, and to speak. */
export interface ClientSettings extends DialSettings {
  /** The subjects of JetStream's API begin like this. */
  readonly api: string;
  /** The domain of JetStream, if it may be another than the server's. */
  readonly domain: string | undefined;
  readonly clock: Clock;
}

interface Question {
  readonly subject: string;
  readonly data: Payload;
  /** Lines of headers. */
  readonly head?: string;
  readonly once?: boolean;
}

/** Who is asked, and who hears of it if the login may not ask. */
interface Asked {
  readonly subject: string;
  onRefused(error: PermissionError): void;
}

interface Waiting {
  readonly subject: string;
  readonly data: Payload;
  readonly options: PublishOptions;
  /** When it was asked last, on the clock of the process; `undefined`: it is asked once. */
  askedAt: number | undefined;
  /** Takes a message, or an error; says whether it waits for more. */
  take(message: NatsMessage | Error): boolean;
}

/** After how many ms a question is asked again, where the server that had it may be gone. */
const ASK_AGAIN = 1500;

/** A connection to NATS, and its verbs as we need them. Every answer comes by one subscription. */
export class NatsClient {
  /** Settles when it has ended: with why, if it was lost. */
  readonly closed: Promise<Error | undefined>;
  readonly #connection: NatsConnection;
  readonly #inbox: string = createInbox();
  readonly #waiting = new Map<string, Waiting>();
  /** What is asked of whom answers to a subject of its own. */
  readonly #asked = new Set<Asked>();
  /** What is listened to as long as the connection lives, and has to be heard. */
  readonly #heard = new Set<string>();
  /** What waits for the client's own promises, of which some never settle when it closes. */
  readonly #pending = new Set<(error: Error) => void>();
  readonly #api: string;
  readonly #isBehind: boolean;
  /** What its times go by. */
  readonly clock: Clock;
  readonly #pauses: Pauses;
  readonly #time: ServerTime;
  #count = 0;
  #refusal: Error | undefined;
  #stopAsking: (() => void) | undefined;

  private constructor(
    connection: NatsConnection,
    { api, domain, clock }: ClientSettings,
  ) {
    this.#connection = connection;
    this.#api = api;
    this.#isBehind = domain !== undefined;
    this.clock = clock;
    this.#pauses = new Pauses(clock);
    this.#time = new ServerTime(clock);
    const skip = this.#inbox.length + 1;
    this.#heard.add(`${this.#inbox}.*`);
    connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error !== null) return;
        this.#answer(message.subject.slice(skip), readable(message));
      },
    });
    void this.#watch();
    this.closed = connection.closed().then((error) => {
      this.#stopAsking?.();
      const reason = this.#refusal ??
        (error instanceof Error ? error : undefined);
      const ended = reason ?? new Error("the connection has ended");
      for (const token of [...this.#waiting.keys()]) this.#answer(token, ended);
      for (const reject of this.#pending) reject(ended);
      this.#pauses.end();
      return reason;
    });
  }

  /** Connects once. */
  static async open(settings: ClientSettings): Promise<NatsClient> {
    return new NatsClient(await dial(settings), settings);
  }

  /** The server's version. */
  get version(): string {
    return this.#connection.info?.version ?? "0";
  }

  /** Whether the server's version is not before this one. */
  isAtLeast(major: number, minor: number): boolean {
    const [a = 0, b = 0] = this.version.split(".").map(Number);
    return a > major || (a === major && b >= minor);
  }

  /** Whether other servers answer, too: then one may be gone with what it was asked. */
  get isRelayed(): boolean {
    return this.#isBehind || this.#connection.info?.cluster !== undefined;
  }

  /** Whether the server delays messages. */
  get delays(): boolean {
    return this.isAtLeast(2, 12);
  }

  /** The largest message that the server takes, headers included, bytes. */
  get maxPayload(): number {
    return this.#connection.info?.max_payload ?? 1_048_576;
  }

  /** The client underneath. */
  get native(): NatsConnection {
    return this.#connection;
  }

  /** Publishes, and waits for nothing. */
  publish(subject: string, data: Payload, reply?: string): void {
    this.#connection.publish(subject, data, reply ? { reply } : {});
  }

  /** Publishes, and waits for the answer; `head` has lines of headers. What is asked `once` does harm if it is asked again. */
  request(
    subject: string,
    data: Payload = "",
    head = "",
    once = false,
  ): Promise<NatsMessage> {
    return new Promise((resolve, reject) => {
      this.#ask({ subject, data, head, once }, (message) => {
        if (message instanceof Error) reject(message);
        else resolve(message);
        return false;
      });
    });
  }

  /** Asks for several messages, until a status ends them; `undefined`: there is nobody to ask. */
  #requestMany(
    subject: string,
    data: Payload,
  ): Promise<readonly NatsMessage[]> {
    return new Promise((resolve, reject) => {
      const all: NatsMessage[] = [];
      let last = 0;
      this.#ask({ subject, data }, (message) => {
        if (message instanceof Error) {
          reject(message);
          return false;
        }
        const { code = 0, description = "" } = message.headers ?? {};
        // A stored message may have been published with a status of its own.
        const sequence = Number(message.headers?.get("Nats-Sequence"));
        if (code === 0 || sequence > 0) {
          // What is asked twice may be answered twice.
          if (sequence > last) all.push(message);
          last = sequence;
          return true;
        }
        if (code === 204 || code === 404) resolve(all);
        else reject(statusError(code, description));
        return false;
      });
    });
  }

  /** Asks JetStream's API for several messages. */
  callMany(
    verb: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<readonly NatsMessage[]> {
    return this.#requestMany(`${this.#api}.${verb}`, JSON.stringify(body));
  }

  /**
   * Asks JetStream's API.
   *
   * @throws {JetStreamError} If the answer is one.
   */
  call(
    verb: string,
    body: Readonly<Record<string, unknown>> = {},
    once = false,
  ): Promise<Readonly<Record<string, unknown>>> {
    const subject = `${this.#api}.${verb}`;
    const text = JSON.stringify(body);
    const ask = async () => {
      const asked = this.clock.now();
      const said = await this.request(subject, text, "", once);
      const answer = answerOf(said, CODES.noJetStream);
      this.#time.hear(Date.parse(String(answer.ts)), asked);
      return answer;
    };
    return once ? ask() : pastElections(this, ask);
  }

  /** The server's time, ms since 1970: about, or not earlier than it is. */
  now(isLate = false): number {
    return this.#time.now(isLate);
  }

  /** The first number of a stream's messages that no earlier stream of its name has given. */
  freshSequence(): number {
    return Math.max(1, Math.floor(this.clock.wall() * 1000));
  }

  /** Listens to a subject as long as the connection lives. */
  listen(subject: string, onMessage: (message: NatsMessage) => void): void {
    this.#heard.add(subject);
    this.subscribe(subject, onMessage);
  }

  /** Asks JetStream's API, and hears each answer, or that the login may not ask. */
  ask(
    verb: string,
    body: Readonly<Record<string, unknown>>,
    hear: (answer: NatsMessage | PermissionError) => void,
  ): NatsSubscription {
    const subject = `${this.#api}.${verb}`;
    const inbox = createInbox();
    const asked = { subject, onRefused: hear };
    const { drain, unsubscribe } = this.subscribe(inbox, hear);
    this.#asked.add(asked);
    this.publish(subject, JSON.stringify(body), inbox);
    return {
      drain: () => {
        this.#asked.delete(asked);
        return drain();
      },
      unsubscribe: () => {
        this.#asked.delete(asked);
        unsubscribe();
      },
    };
  }

  /** Subscribes. */
  subscribe(
    subject: string,
    onMessage: (message: NatsMessage) => void,
  ): NatsSubscription {
    const subscription = this.#connection.subscribe(subject, {
      callback: (error, message) => {
        if (error === null) onMessage(readable(message));
      },
    });
    return {
      drain: () => this.whileOpen(subscription.drain()),
      unsubscribe: () => subscription.unsubscribe(),
    };
  }

  /** Makes a subject for answers of one's own. */
  inbox(): string {
    return createInbox();
  }

  /** Resolves when the server has read all that was sent, and all that it had sent before has come. */
  flush(): Promise<void> {
    return this.whileOpen(this.#connection.flush());
  }

  /** Waits for something, and no longer than the connection lives. */
  whileOpen<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      promise.then(resolve, (error) => reject(this.#refusal ?? error))
        .finally(() => this.#pending.delete(reject));
    });
  }

  /** Waits so many ms, and no longer than the connection lives: then it rejects. */
  pause(duration: number): Promise<void> {
    return this.whileOpen(this.#pauses.wait(duration));
  }

  /** Closes: what was published has left. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  /** Ends it at once. */
  destroy(): void {
    cut(this.#connection);
    this.#connection.close().catch(() => {});
  }

  #ask(
    { subject, data, head = "", once = false }: Question,
    take: Waiting["take"],
  ): void {
    const token = (++this.#count).toString(36);
    const reply = `${this.#inbox}.${token}`;
    const options = head === ""
      ? { reply }
      : { reply, headers: written(head) as unknown as MsgHdrs };
    const isAgain = this.isRelayed && !once;
    const askedAt = isAgain ? this.clock.now() : undefined;
    this.#waiting.set(token, { subject, data, options, askedAt, take });
    try {
      this.#connection.publish(subject, data, options);
    } catch (error) {
      this.#waiting.delete(token);
      throw this.#refusal ?? error;
    }
    if (isAgain) this.#askAgain();
  }

  /** Asks again what nobody has answered, as long as anything waits. */
  #askAgain(): void {
    this.#stopAsking ??= this.clock.timer(() => {
      this.#stopAsking = undefined;
      const now = this.clock.now();
      let isAny = false;
      for (const waiting of this.#waiting.values()) {
        const { subject, data, options, askedAt } = waiting;
        if (askedAt === undefined) continue;
        isAny = true;
        if (askedAt > now - ASK_AGAIN) continue;
        waiting.askedAt = now;
        this.#connection.publish(subject, data, options);
      }
      if (isAny) this.#askAgain();
    }, ASK_AGAIN / 3);
  }

  #answer(token: string, message: NatsMessage | Error): void {
    const waiting = this.#waiting.get(token);
    if (waiting?.take(message) === false) this.#waiting.delete(token);
  }

  /** The server tells by itself what the login may not do. */
  async #watch(): Promise<void> {
    for await (const status of this.#connection.status()) {
      if (status.type !== "error") continue;
      const { error } = status;
      const [, operation, subject] =
        /Permissions Violation for (\w+) to "([^"]*)"/i.exec(error.message) ??
          [];
      if (operation === undefined) {
        this.#refusal ??= error;
        continue;
      }
      const refused = new PermissionError(
        /^sub/i.test(operation) ? "subscribe" : "publish",
        subject ?? "",
      );
      if (/^sub/i.test(operation)) {
        // Nobody else hears what we do not: so there is no connection.
        if (!this.#heard.has(subject ?? "")) continue;
        this.#refusal ??= refused;
        this.destroy();
        continue;
      }
      for (const [token, { subject: asked }] of this.#waiting) {
        if (asked === subject) this.#answer(token, refused);
      }
      for (const asked of [...this.#asked]) {
        if (asked.subject === subject) asked.onRefused(refused);
      }
    }
  }
}
