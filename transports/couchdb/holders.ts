import type { CallOptions } from "../../model/call_options.ts";
import { requestError } from "./errors.ts";
import type { Database, Doc, Row } from "./database.ts";
import { endOf, HOLDERS, isReady, rangeOf } from "./ids.ts";

/** How a message goes back to its queue. */
export type GiveBack = (doc: Doc) => Promise<void>;

/** A connection that takes messages, as its document says it. */
interface Holder {
  readonly id: string;
  readonly rev: string;
  readonly owner: string;
  /** Milliseconds since 1970 until which what it took is its own. */
  readonly until: number;
  /** What it held went back; it is missed. */
  readonly missed: boolean;
  /** The queues that it ever took from. */
  readonly queues: readonly string[];
}

/**
 * Until when a connection's messages are its own. The lease is one document of the
 * connection, not a field of each message: renewing it costs one write however many
 * messages it covers. Who is not heard of in time is marked as missed by its
 * document's revision, and what it held goes back by the revisions of the messages:
 * so it can neither renew nor settle anything any more.
 */
export class Holders {
  readonly #database: Database;
  readonly #owner: string;
  readonly #lease: number;
  readonly #giveBack: GiveBack;
  readonly #queues = new Set<string>();
  #name: string;
  #rev: string | undefined;
  #until = 0;
  #beating: Promise<void> | undefined;

  /** Makes an unheard-of one. */
  constructor(
    database: Database,
    { owner, lease }: { readonly owner: string; readonly lease: number },
    giveBack: GiveBack,
  ) {
    this.#database = database;
    this.#owner = owner;
    this.#lease = lease;
    this.#giveBack = giveBack;
    this.#name = nameOf(owner);
  }

  /** Our name, on the messages that we take: another one after we were missed. */
  get name(): string {
    return this.#name;
  }

  /** Takes back what earlier connections of the same owner still hold. */
  async succeed(options?: CallOptions): Promise<void> {
    const holders = await this.#list(prefixOf(this.#owner), options);
    await this.#takeBack(
      holders.filter(({ id }) => id !== this.#name),
      options,
    );
  }

  /** Sees to it that our lease has half of its time left, and that our document names these queues. */
  async ensure(queues: readonly string[]): Promise<void> {
    const missing = queues.filter((each) => !this.#queues.has(each));
    for (const each of missing) this.#queues.add(each);
    if (missing.length > 0) {
      // One that is under way may have left without them.
      await this.#beating?.catch(() => {});
      await this.beat();
    } else if (this.#left < this.#lease / 2) await this.beat();
  }

  /** Renews the lease, unless that was done just now. */
  async renew(): Promise<void> {
    if (this.#left < this.#lease * 0.8) await this.beat();
  }

  /** Says that we are alive. */
  beat(): Promise<void> {
    return this.#beating ??= this.#beat().finally(() =>
      this.#beating = undefined
    );
  }

  async #beat(): Promise<void> {
    for (;;) {
      const until = this.#database.client.time.now() + this.#lease;
      const written = await this.#database.write({
        _id: this.#name,
        ...(this.#rev === undefined ? {} : { _rev: this.#rev }),
        owner: this.#owner,
        until,
        queues: [...this.#queues],
      });
      if (written.type === "refused") {
        throw requestError("renew a lease", written.refusal);
      }
      if (written.type === "written") {
        this.#rev = written.rev;
        this.#until = until;
        return;
      }
      // We were missed, and what we held has gone back.
      this.#name = nameOf(this.#owner);
      this.#rev = undefined;
    }
  }

  /**
   * Looks for those that are missed, and gives back what they hold.
   *
   * @param ttl Milliseconds after its lease began that an owner counts as alive at least.
   * @returns The owners that are dead.
   */
  async sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    const holders = await this.#list(HOLDERS, options);
    const now = this.#database.client.time.now();
    const dead = new Set<string>();
    const alive = new Set([this.#owner]);
    for (const holder of holders) {
      const gone = now - holder.until;
      if (gone < Math.max(0, ttl - this.#lease)) alive.add(holder.owner);
      else dead.add(holder.owner);
      if (gone < 0 || holder.id === this.#name) continue;
      // Twice, a lease apart: a claim may have been on its way when it was missed.
      if (!holder.missed) await this.#takeBack([holder], options);
      else if (gone > this.#lease + Math.max(0, ttl - this.#lease)) {
        const [rev] = await this.#takeBack([holder], options);
        if (rev !== undefined) await this.#database.remove(holder.id, rev);
      }
    }
    return [...dead].filter((each) => !alive.has(each));
  }

  /** Leaves: nothing is held any more. */
  async leave(): Promise<void> {
    await this.#beating?.catch(() => {});
    if (this.#rev === undefined) return;
    await this.#database.remove(this.#name, this.#rev);
  }

  get #left(): number {
    return this.#until - this.#database.client.time.now();
  }

  /**
   * Gives back what some hold. Who was missed before counts too: whoever missed it may
   * have come no further than that.
   *
   * @param holders Whose it is.
   * @param options The call's limits.
   * @returns The new revisions of the documents of those that were ours to take from.
   */
  async #takeBack(
    holders: readonly Holder[],
    options?: CallOptions,
  ): Promise<readonly string[]> {
    // First: from here on it can not renew. Who is faster, it or another, wins.
    const marked = await Promise.all(holders.map(async (holder) => {
      const { id, rev, owner, until, queues } = holder;
      const doc = { _id: id, _rev: rev, owner, until, queues, missed: true };
      const written = await this.#database.write(doc);
      return written.type === "written"
        ? [{ ...holder, rev: written.rev }]
        : [];
    }));
    const gone = marked.flat();
    const ids = new Set(gone.map(({ id }) => id));
    for (const queue of new Set(gone.flatMap(({ queues }) => queues))) {
      await this.#empty(queue, ids, options);
    }
    return gone.map(({ rev }) => rev);
  }

  async #empty(
    queue: string,
    holders: ReadonlySet<unknown>,
    options?: CallOptions,
  ): Promise<void> {
    const action = `take back messages of queue "${queue}"`;
    const pages = this.#database.pages(action, rangeOf(queue), options);
    for await (const page of pages) {
      const held = page.filter(({ rev }) => !isReady(rev)).map(({ id }) => id);
      for (let i = 0; i < held.length; i += 100) {
        const ids = held.slice(i, i + 100);
        const rows = await this.#database.read(action, ids, options);
        await Promise.all(
          rows.map(({ doc }) =>
            doc !== undefined && holders.has(doc.holder)
              ? this.#giveBack(doc)
              : undefined
          ),
        );
      }
    }
  }

  async #list(prefix: string, options?: CallOptions): Promise<Holder[]> {
    const rows = await this.#database.list("look who holds messages", {
      start: prefix,
      end: endOf(prefix),
      limit: 100_000,
      docs: true,
    }, options);
    return rows.map(holderOf);
  }
}

function prefixOf(owner: string): string {
  return `${HOLDERS}${encodeURIComponent(owner)}/`;
}

function nameOf(owner: string): string {
  return prefixOf(owner) + crypto.randomUUID();
}

function holderOf({ id, rev, doc }: Row): Holder {
  const { owner, until, queues, missed }: Partial<Doc> = doc ?? {};
  return {
    id,
    rev,
    owner: typeof owner === "string" ? owner : "",
    until: typeof until === "number" ? until : 0,
    missed: missed === true,
    queues: Array.isArray(queues)
      ? queues.filter((each) => typeof each === "string")
      : [],
  };
}
