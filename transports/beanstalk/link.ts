import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { errorText } from "../../model/error_text.ts";
import { ChannelError } from "../../model/errors.ts";
import {
  cannotConnect,
  connectionClosed,
  connectionLost,
  lostBefore,
  notAnswered,
} from "../connection_errors.ts";
import type { Peer } from "../peer.ts";
import type { Lifeline } from "../store/lifeline.ts";
import { BeanstalkClient, type Reply } from "./client.ts";
import type { BeanstalkSettings } from "./options.ts";

/** The context that the sockets of one connection share. */
export interface LinkContext {
  /** The URL, for errors. */
  readonly broker: string;
  readonly settings: BeanstalkSettings;
  readonly heartbeat: number;
  readonly operationTimeout: number;
  /** Whether there are other servers to go on with. */
  readonly hasOthers: boolean;
  readonly clock: Clock;
  /** Of all sockets: where one is lost the connection is, and one that is opened then would belong to nobody. */
  readonly lifeline: Lifeline;
}

/** The limits of a call on a link. */
export interface LinkCall extends CallOptions {
  /** The action, for errors: `put a message into queue "x"`. */
  readonly action: string;
  /** How long the server may take by the command's own words, ms. */
  readonly wait?: number | undefined;
  /** Whether the socket is cut at the deadline: jobs that it reserved later would have no consumer. @default {false} */
  readonly cuts?: boolean | undefined;
}

/** Commands, and how many they are. */
export interface Commands {
  readonly text: string;
  readonly count: number;
}

const NO_COMMANDS: Commands = { text: "", count: 0 };

/**
 * One socket, and what beanstalkd knows about it: the tube that it uses, those that it
 * watches, and how many jobs it holds. Jobs are settled on the socket that reserved them.
 */
export class Link {
  /** How many jobs it holds. */
  held = 0;
  /** Whether a reserve waits on it: what is sent now is answered after that. */
  waiting = false;
  readonly #client: BeanstalkClient;
  readonly #context: LinkContext;
  readonly #watched = new Set(["default"]);
  #using = "default";
  #dropped = false;

  private constructor(client: BeanstalkClient, context: LinkContext) {
    this.#client = client;
    this.#context = context;
    client.closed.then((error) => {
      if (error !== undefined && !this.#dropped) {
        context.lifeline.lose(lostError(context, error));
      }
    });
  }

  /**
   * Opens a socket.
   *
   * @param context The context of the connection.
   * @param options The call's limits.
   * @returns The link.
   * @throws {ConnectionError} If there is nobody.
   * @throws {TimeoutError} If nobody answers by the deadline.
   */
  static async open(
    context: LinkContext,
    options?: CallOptions,
  ): Promise<Link> {
    const { broker, settings, heartbeat, clock, lifeline } = context;
    const action = `connect to "${broker}"`;
    const refusal = lifeline.refusal(action, options);
    if (refusal !== undefined) throw refusal;
    const deadline = options?.deadline ??
      clock.now() + context.operationTimeout;
    let giveUp: ((error: Error) => void) | undefined;
    let stopped: { readonly error: unknown } | undefined;
    const dialling = BeanstalkClient.dial(
      { ...settings, heartbeat, clock },
      (given) => giveUp = given,
    );
    const unwatch = lifeline.limits.watch(
      { signal: options?.signal, deadline },
      (reason) => {
        stopped = {
          error: reason === undefined
            ? notAnswered(action, "not-sent")
            : reason.aborted,
        };
        giveUp?.(new Error("given up"));
      },
    );
    let client: BeanstalkClient;
    try {
      client = await dialling;
    } catch (cause) {
      if (stopped !== undefined) throw stopped.error;
      throw cannotConnect(action, errorText(cause), { cause });
    } finally {
      unwatch();
    }
    if (lifeline.reason !== undefined) {
      client.destroy(new Error("its connection has ended"));
      throw lifeline.endError(action, lifeline.reason);
    }
    return new Link(client, context);
  }

  /** Who is at the other end of its socket. */
  get peer(): Peer | undefined {
    return this.#client.peer;
  }

  /** Whether nothing more can be sent on it. */
  get ended(): boolean {
    return this.#client.ended;
  }

  /** Settles when the socket is closed. Never rejects. */
  get closed(): Promise<unknown> {
    return this.#client.closed;
  }

  /**
   * Sends commands, and waits for their replies until the deadline. A later reply is
   * ignored, and the socket goes on for the others: it is cut only when the server has not
   * answered in the time that any call has.
   */
  call(commands: Commands, options: LinkCall): Promise<readonly Reply[]> {
    const { clock, lifeline, operationTimeout } = this.#context;
    const { limits } = lifeline;
    return new Promise((resolve, reject) => {
      const { reason } = lifeline;
      if (this.#client.ended || reason?.type === "lost") {
        return reject(
          reason === undefined
            ? lostBefore(options.action)
            : lifeline.endError(options.action, reason),
        );
      }
      const { wait = 0 } = options;
      const last = clock.now() + wait + operationTimeout;
      const late = () => notAnswered(options.action, "unknown");
      let missed = limits.watchDeadline(options.deadline ?? last, () => {
        const error = late();
        reject(error);
        if (options.cuts || last <= clock.now()) {
          return this.#client.destroy(error);
        }
        missed = limits.watchDeadline(last, () => this.#client.destroy(late()));
      });
      this.#client.send(commands.text, {
        count: commands.count,
        wait,
        done(replies) {
          missed.cancel();
          resolve(replies);
        },
        lost: (error) => {
          missed.cancel();
          reject(
            lifeline.reason?.type === "closed"
              ? connectionClosed(options.action)
              : lostError(this.#context, error),
          );
        },
      });
    });
  }

  /** The commands after which puts and peeks are about a tube. */
  use(tube: string): Commands {
    if (this.#using === tube) return NO_COMMANDS;
    this.#using = tube;
    return { text: `use ${tube}\r\n`, count: 1 };
  }

  /** The commands after which reserves are about these tubes alone. */
  watch(tubes: ReadonlySet<string>): Commands {
    let text = "";
    let count = 0;
    for (const tube of tubes) {
      if (this.#watched.has(tube)) continue;
      this.#watched.add(tube);
      text += `watch ${tube}\r\n`;
      count++;
    }
    if (this.#watched.size === tubes.size) return { text, count };
    for (const tube of this.#watched) {
      if (tubes.has(tube)) continue;
      this.#watched.delete(tube);
      text += `ignore ${tube}\r\n`;
      count++;
    }
    return { text, count };
  }

  /** The commands after which a tube that was deleted is not kept alive by this socket. */
  forget(tube: string): Commands {
    const use = this.#using === tube ? this.use("default") : NO_COMMANDS;
    if (!this.#watched.has(tube)) return use;
    const others = new Set(this.#watched);
    others.delete(tube);
    if (others.size === 0) others.add("default");
    return join(use, this.watch(others));
  }

  /** Closes it: what it still holds goes back. Resolves when the server has closed too, or the deadline has passed. Never rejects. */
  async close(deadline: number): Promise<void> {
    this.#dropped = true;
    if (this.#client.ended) {
      await this.#client.closed;
      return;
    }
    const missed = this.#context.lifeline.limits.watchDeadline(deadline, () => {
      this.#client.destroy(new Error("the server did not close"));
    });
    this.#client.hangUp();
    await this.#client.closed;
    missed.cancel();
  }

  /** Cuts it. */
  destroy(error: Error): void {
    this.#dropped = true;
    this.#client.destroy(error);
  }
}

/**
 * Joins commands.
 *
 * @param parts Some commands.
 * @returns All of them, in order.
 */
export function join(...parts: readonly Commands[]): Commands {
  let text = "";
  let count = 0;
  for (const part of parts) {
    text += part.text;
    count += part.count;
  }
  return { text, count };
}

/**
 * Sees to it that a tube that was deleted is not kept alive by sockets.
 *
 * @param links The sockets.
 * @param tube The tube.
 * @param action The action, for errors.
 */
export async function forgetTube(
  links: readonly Link[],
  tube: string,
  action: string,
): Promise<void> {
  for (const link of links) {
    const forget = link.forget(tube);
    if (link.waiting || link.ended || forget.count === 0) continue;
    await link.call(forget, { action });
  }
}

/**
 * Makes the error for an answer that says that the server cannot do it now.
 *
 * @param action The action of the call.
 * @param word The answer.
 * @returns The error.
 */
export function unexpected(action: string, word: string): ChannelError {
  return new ChannelError(
    `Cannot ${action}: beanstalkd answered ${word}`,
    { code: "channel-closed" },
  );
}

function lostError({ broker }: LinkContext, cause: Error): Error {
  return connectionLost(broker, errorText(cause), { cause });
}
