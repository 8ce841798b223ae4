import type { Clock } from "../../../async/clock.ts";
import type { Limits } from "../../../async/limits.ts";
import type { CallOptions } from "../../../model/call_options.ts";
import { TimeoutError } from "../../../model/errors.ts";
import {
  decode,
  type RedisArgument,
  type RedisReply,
  valuesIn,
} from "../reply.ts";

/** For how long a server is to wait for its replicas, ms: nothing else goes through the socket meanwhile. */
const ROUND = 1000;

/** So long before its deadline a call fails, ms: later it would not be told why. */
const AHEAD = 100;

/** The socket that has written. */
interface Sender {
  send(
    action: string,
    command: readonly [string, ...RedisArgument[]],
    options?: CallOptions,
  ): Promise<RedisReply>;
  /** Answers nothing where the server refuses it. */
  ask(...call: Parameters<Sender["send"]>): Promise<RedisReply | undefined>;
}

/** Waits until replicas have what one socket has written. A round is for all calls that begin before it. */
export class Replication {
  readonly #client: Sender;
  readonly #clock: Clock;
  readonly #patience: number;
  readonly #limits: Limits;
  /** The last round that has begun. */
  #round: Promise<unknown> = Promise.resolve();
  /** The round that begins when that one is over. */
  #next: Promise<number> | undefined;

  /** Makes one; `patience` is how long a call waits that has no deadline, ms, and `limits` are those of the socket. */
  constructor(
    client: Sender,
    clock: Clock,
    patience: number,
    limits: Limits,
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#patience = patience;
    this.#limits = limits;
  }

  /** Waits until so many have all that was written before this call. */
  async confirm(
    action: string,
    replicas: number,
    options: CallOptions = {},
  ): Promise<void> {
    const { signal, deadline: given = Infinity } = options;
    const until = this.#clock.now() + this.#patience;
    const deadline = Math.min(given - AHEAD, until);
    let have = 0;
    const tooFew = () =>
      new TimeoutError(
        `Cannot ${action} in time: ${have} of the ${replicas} replicas that waitForReplicas asks for have it`,
        { outcome: "unknown" },
      );
    do {
      const round = this.#wait(action, replicas, deadline);
      try {
        have = await this.#limits.wait(round, { signal, deadline }, tooFew);
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error;
        break;
      }
      if (have >= replicas) return;
    } while (this.#clock.now() < deadline);
    const { message, outcome } = tooFew();
    const advice = await this.#advise(action, replicas, options);
    throw new TimeoutError(message + advice, { outcome });
  }

  #wait(action: string, replicas: number, deadline: number): Promise<number> {
    return this.#next ??= this.#round.then(() => {
      this.#next = undefined;
      const left = Math.floor(deadline - this.#clock.now());
      const time = Math.max(1, Math.min(ROUND, left));
      const round = this.#client.send(action, ["WAIT", replicas, time]);
      this.#round = round.catch(() => {});
      return round.then(Number);
    });
  }

  /** Says how many replicas there are: more than that never have it. */
  async #advise(
    action: string,
    replicas: number,
    options: CallOptions,
  ): Promise<string> {
    const info = await this.#client.ask(
      action,
      ["INFO", "replication"],
      options,
    ).catch(() => undefined);
    const known = valuesIn(decode(info ?? ""))("connected_slaves");
    if (known === undefined) return "";
    return Number(known) < replicas
      ? `; the server has ${known}, and waitForReplicas may be no more than that`
      : `; the server has ${known}, which are behind`;
  }
}
