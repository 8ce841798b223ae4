import type { Clock } from "../../async/clock.ts";
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
  /** How long what it took is its own after it was last heard of, ms. */
  readonly lease: number;
  /** What it held went back; it is missed. */
  readonly missed: boolean;
  /** The queues that it ever took from. */
  readonly queues: readonly string[];
}

/** A document of another holder, as it was seen. */
interface Seen {
  readonly rev: string;
  /** When we saw that revision first, by our clock. */
  readonly at: number;
  /** When we saw the one before it first. */
  readonly before: number;
}

/**
 * Until when a connection's messages are its own. The lease is one document of the
 * connection, not a field of each message: renewing it costs one write however many
 * messages it covers. No calendar is compared, for two servers may tell two times: a
 * lease has ended when its document has not changed for so long, by the clock of
 * whoever looks. Who is not heard of in time is marked as missed by its
 * document's revision, and what it held goes back by the revisions of the messages:
 * so it can neither renew nor settle anything any more.
 */
export class Holders {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #owner: string;
  readonly #lease: number;
  readonly #giveBack: GiveBack;
  readonly #queues = new Set<string>();
  #name: string;
  #rev: string | undefined;
  /** By our clock, as `#seen`. */
  #until = -Infinity;
  /** The documents of others, and when we saw them change. */
  readonly #seen = new Map<string, Seen>();
  #beating: Promise<void> | undefined;

  /** Makes an unheard-of one. */
  constructor(
    database: Database,
    { owner, lease, clock }: {
      readonly owner: string;
      readonly lease: number;
      readonly clock: Clock;
    },
    giveBack: GiveBack,
  ) {
    this.#database = database;
    this.#clock = clock;
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
      // Others count from when they see it, which is later.
      const until = this.#clock.now() + this.#lease;
      const written = await this.#database.write({
        _id: this.#name,
        ...(this.#rev === undefined ? {} : { _rev: this.#rev }),
        owner: this.#owner,
        lease: this.#lease,
        // It changes with each beat, and so does the revision.
        beat: crypto.randomUUID(),
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
      const before = this.#rev;
      this.#rev = await this.#findOurs();
      // A write whose answer was lost is no reason to lose what we hold.
      if (this.#rev !== undefined && this.#rev !== before) continue;
      // We were missed, and what we held has gone back.
      this.#name = nameOf(this.#owner);
      this.#rev = undefined;
    }
  }

  /** The revision of our document, if nobody has missed us. */
  async #findOurs(): Promise<string | undefined> {
    const [row] = await this.#database.read("renew a lease", [this.#name]);
    if (row === undefined) return undefined;
    const { rev, missed } = holderOf(row);
    return missed ? undefined : rev;
  }

  /** Hears that a document of a holder changed. */
  heard(id: string, rev: string, deleted: boolean): void {
    if (deleted) this.#seen.delete(id);
    else this.#see(id, rev);
  }

  #see(id: string, rev: string): Seen {
    const before = this.#seen.get(id);
    if (before?.rev === rev) return before;
    const at = this.#clock.now();
    const seen = { rev, at, before: before?.at ?? at };
    this.#seen.set(id, seen);
    return seen;
  }

  /**
   * Looks for those that are missed, and gives back what they hold.
   *
   * @param ttl Milliseconds after its lease began that an owner counts as alive at least.
   * @returns The owners that are dead.
   */
  async sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    const holders = await this.#list(HOLDERS, options);
    const now = this.#clock.now();
    const there = new Set(holders.map(({ id }) => id));
    for (const id of this.#seen.keys()) {
      if (!there.has(id)) this.#seen.delete(id);
    }
    const dead = new Set<string>();
    const alive = new Set([this.#owner]);
    for (const holder of holders) {
      const { at, before } = this.#see(holder.id, holder.rev);
      // To be marked as missed is no sign of life.
      const gone = now - (holder.missed ? before : at) - holder.lease;
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
    return this.#until - this.#clock.now();
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
    // First: from here on it cannot renew. Who is faster, it or another, wins.
    const marked = await Promise.all(holders.map(async (holder) => {
      const { id, rev, owner, lease, queues } = holder;
      const doc = { _id: id, _rev: rev, owner, lease, queues, missed: true };
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
    return rows.map((row) => holderOf(row, this.#lease));
  }
}

function prefixOf(owner: string): string {
  return `${HOLDERS}${encodeURIComponent(owner)}/`;
}

function nameOf(owner: string): string {
  return prefixOf(owner) + crypto.randomUUID();
}

function holderOf({ id, rev, doc }: Row, ours = 0): Holder {
  const { owner, lease, queues, missed }: Partial<Doc> = doc ?? {};
  return {
    id,
    rev,
    owner: typeof owner === "string" ? owner : "",
    lease: typeof lease === "number" ? lease : ours,
    missed: missed === true,
    queues: Array.isArray(queues)
      ? queues.filter((each) => typeof each === "string")
      : [],
  };
}
