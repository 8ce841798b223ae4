import type { CallOptions } from "../../model/call_options.ts";
import type {
  InspectionStore,
  PeekedItem,
  StoredCounts,
} from "../store/store.ts";
import { readBody, Statistics } from "./body.ts";
import type { Reply } from "./client.ts";
import { type Deletions, SUFFIX } from "./deletions.ts";
import { type Commands, join, type Link, type LinkContext } from "./link.ts";
import { queueOf, type Tubes } from "./tubes.ts";

const ACTION = "look at queues";

/** The services that it uses of its store. */
export interface InspectionHost {
  readonly context: LinkContext;
  readonly tubes: Tubes;
  readonly deletions: Deletions;
  /** The socket for everything that does not wait. */
  readonly link: Link;
}

/** Looks into tubes. beanstalkd shows the first job of each, and no other. */
export class BeanstalkInspection implements InspectionStore {
  readonly #host: InspectionHost;

  /** Makes one over a store's socket. */
  constructor(host: InspectionHost) {
    this.#host = host;
  }

  async *names(limits: () => CallOptions): AsyncIterable<readonly string[]> {
    const list = { text: "list-tubes\r\n", count: 1 };
    const [reply] = await this.#call(() => list, "list the queues", limits());
    const lines = new TextDecoder().decode(reply?.body).split("\n");
    yield lines.flatMap((line) => {
      const tube = /^- "?([^"]*)"?$/.exec(line)?.[1];
      // Every server has the tube "default", which is a queue of somebody's or not.
      return tube === undefined || tube === "default" || tube.endsWith(SUFFIX)
        ? []
        : [queueOf(tube)];
    });
  }

  async look(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<readonly StoredCounts[]> {
    const text = queues.map((queue) =>
      `stats-tube ${this.#host.tubes.of(queue)}\r\n`
    ).join("");
    const all = { text, count: queues.length };
    const replies = await this.#call(() => all, ACTION, options);
    const counts = replies.map(({ word, body }) => {
      const statistics = new Statistics(word === "OK" ? body : undefined);
      const jobs = (state: string) =>
        statistics.number(`current-jobs-${state}`);
      return {
        ready: jobs("ready"),
        delayed: jobs("delayed"),
        unacked: jobs("reserved"),
        oldestAge: undefined,
        bytes: undefined,
        // A tube counts while somebody uses it, or something is in it.
        published: word === "OK" ? statistics.number("total-jobs") : undefined,
        consumed: word === "OK" ? statistics.number("cmd-delete") : undefined,
      };
    });
    const ages = await this.#ages(
      queues.filter((_, i) => (counts[i]?.ready ?? 0) > 0),
      options,
    );
    return counts.map((each, i) => ({
      ...each,
      oldestAge: ages.get(queues[i] ?? ""),
    }));
  }

  /** The first job alone can be looked at. */
  async peek(
    queue: string,
    max: number,
    options?: CallOptions,
  ): Promise<readonly PeekedItem[] | undefined> {
    const [counts] = await this.look([queue], options);
    if (counts?.ready === 0) return [];
    if (max > 1 && counts?.ready !== 1) return undefined;
    const action = `peek at queue "${queue}"`;
    const [first] = await this.#peek([queue], action, options);
    if (first?.body === undefined) return [];
    await this.#host.deletions.readAll([queue]);
    const { message, life, redelivered } = readBody(first.body);
    // Who takes it sees whether its time is over, or whether it is of a queue that was deleted.
    if (life !== undefined) return undefined;
    if (first.number < this.#host.deletions.of(queue)) return undefined;
    const ask = { text: `stats-job ${first.number}\r\n`, count: 1 };
    const [reply] = await this.#call(() => ask, action, options);
    const reserves = new Statistics(reply?.body).number("reserves");
    return [{
      message,
      redelivered: redelivered || reserves > 0,
      deliveryCount: reserves,
    }];
  }

  /** The ages of the jobs whose turn it is, in seconds. */
  async #ages(
    queues: readonly string[],
    options?: CallOptions,
  ): Promise<ReadonlyMap<string, number>> {
    const ages = new Map<string, number>();
    const found = await this.#peek(queues, ACTION, options);
    const known = queues.flatMap((queue, i) => {
      const number = found[i]?.number;
      return number === undefined ? [] : [{ queue, number }];
    });
    if (known.length === 0) return ages;
    const text = known.map(({ number }) => `stats-job ${number}\r\n`).join("");
    const ask = { text, count: known.length };
    const replies = await this.#call(() => ask, ACTION, options);
    known.forEach(({ queue }, i) => {
      const reply = replies[i];
      if (reply?.word !== "OK") return; // somebody has taken it
      ages.set(queue, new Statistics(reply.body).number("age"));
    });
    return ages;
  }

  /** The job whose turn it is, of each queue. */
  async #peek(
    queues: readonly string[],
    action: string,
    options?: CallOptions,
  ): Promise<readonly (Reply | undefined)[]> {
    if (queues.length === 0) return [];
    const { link, tubes } = this.#host;
    const peek = { text: "peek-ready\r\n", count: 1 };
    const replies = await this.#call(
      () =>
        join(
          ...queues.flatMap((queue) => [link.use(tubes.of(queue)), peek]),
          // A tube that is used is not gone when it is deleted.
          link.use("default"),
        ),
      action,
      options,
    );
    return replies.filter(({ word }) => word !== "USING")
      .map((each) => each.word === "FOUND" ? each : undefined);
  }

  /** The commands are made when they are sent: they go by the tube that is used then. */
  #call(
    commands: () => Commands,
    action: string,
    options?: CallOptions,
  ): Promise<readonly Reply[]> {
    const { context: { lifeline }, link } = this.#host;
    const deadline = options?.deadline;
    return lifeline.run(
      action,
      options,
      () => link.call(commands(), { deadline, action }),
    );
  }
}
