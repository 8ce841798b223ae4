import type { Clock } from "../../async/clock.ts";
import type { CallOptions } from "../../model/call_options.ts";
import type { Database, FullRow, WrittenRecord } from "./database.ts";
import { endOf, isReady, LEASES, rangeOf } from "./ids.ts";
import type { Fields, Row } from "./records.ts";

const RENEW = "renew a lease";
const SWEEP = "look for leases that have expired";

/** How many leases are looked at, and how many messages that their connections took are read at once. */
const [MAX_LEASES, READ_AT_ONCE] = [100_000, 100];

/** Puts a message back into its queue. */
export type Release = (row: FullRow) => Promise<void>;

/** The lease of a connection that takes messages, as its record says it. */
interface Lease {
  readonly id: string;
  readonly revision: string;
  readonly owner: string;
  /** How long what it took is its own after its last heartbeat, ms. */
  readonly duration: number;
  /** Whether it is over, and its messages went back. */
  readonly isExpired: boolean;
  /** The queues that it ever took from. */
  readonly queues: readonly string[];
}

/** The record of another connection's lease, as it was seen. */
interface Seen {
  readonly revision: string;
  /** When we saw that revision first, by our clock. */
  readonly at: number;
  /** When we saw the one before it first. */
  readonly before: number;
}

/**
 * Until when a connection's messages are its own. The lease is one record of the
 * connection, not a field of each message: renewing it costs one write however many
 * messages it covers. No calendar is compared, for two servers may tell two times: a
 * lease has expired when its record has not changed for so long, by the clock of the
 * connection that looks. It is then marked as expired by its record's revision, and the
 * messages go back by theirs: so its connection can neither renew nor settle anything
 * any more.
 */
export class Leases {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #owner: string;
  readonly #duration: number;
  readonly #release: Release;
  readonly #queues = new Set<string>();
  /** The queues that its record names. */
  #named: ReadonlySet<string> = new Set();
  #name: string;
  #revision: string | undefined;
  /** By our clock, as `#seen`. */
  #until = -Infinity;
  /** The records of other connections, and when we saw them change. */
  readonly #seen = new Map<string, Seen>();
  #renewing: Promise<void> | undefined;

  /** Makes a lease that was never renewed. */
  constructor(
    database: Database,
    { owner, lease, clock }: {
      readonly owner: string;
      readonly lease: number;
      readonly clock: Clock;
    },
    release: Release,
  ) {
    this.#database = database;
    this.#clock = clock;
    this.#owner = owner;
    this.#duration = lease;
    this.#release = release;
    this.#name = nameOf(owner);
  }

  /** The name on the messages that this connection takes: another one after the lease had expired. */
  get name(): string {
    return this.#name;
  }

  /** Takes over from earlier connections of the same owner: what they took goes back. */
  async takeOver(options?: CallOptions): Promise<void> {
    const leases = await this.#list(prefixOf(this.#owner), options);
    const earlier = leases.filter(({ id }) => id !== this.#name);
    await this.#expire(earlier, options);
  }

  /** Sees to it that the lease has half of its time left, and that its record names these queues. */
  async ensure(queues: readonly string[]): Promise<void> {
    for (const each of queues) this.#queues.add(each);
    const areNamed = () => queues.every((each) => this.#named.has(each));
    // A heartbeat that is under way may have left without them.
    if (!areNamed()) await this.#renewing?.catch(() => {});
    if (!areNamed() || this.#left < this.#duration / 2) await this.heartbeat();
  }

  /** Renews the lease, unless that was done just now. */
  async renew(): Promise<void> {
    if (this.#left < this.#duration * 0.8) await this.heartbeat();
  }

  /** Renews the lease. */
  heartbeat(): Promise<void> {
    return this.#renewing ??= this.#heartbeat().finally(() =>
      this.#renewing = undefined
    );
  }

  async #heartbeat(): Promise<void> {
    for (;;) {
      // Others count from when they see it, which is later.
      const until = this.#clock.now() + this.#duration;
      const queues = [...this.#queues];
      const written = await this.#database.write({
        id: this.#name,
        revision: this.#revision,
        fields: {
          owner: this.#owner,
          lease: this.#duration,
          // 0.1.0 compares it with the database's time.
          until: this.#database.now() + this.#duration,
          // It changes with each heartbeat, and so does the revision.
          beat: crypto.randomUUID(),
          queues,
        },
        action: RENEW,
      });
      if (written.type === "refused") throw written.error;
      if (written.type === "written") {
        this.#revision = written.revision;
        this.#until = until;
        this.#named = new Set(queues);
        return;
      }
      const before = this.#revision;
      this.#revision = await this.#findOurs();
      // A write whose answer was lost is no reason to lose what was taken.
      if (this.#revision !== undefined && this.#revision !== before) continue;
      // The lease had expired, and what was taken has gone back.
      this.#name = nameOf(this.#owner);
      this.#revision = undefined;
    }
  }

  /** The revision of our record, unless the lease was marked as expired. */
  async #findOurs(): Promise<string | undefined> {
    const [row] = await this.#database.read(RENEW, [this.#name]);
    if (row === undefined) return undefined;
    const { revision, isExpired } = leaseOf(row);
    return isExpired ? undefined : revision;
  }

  /** Is told that the record of a lease changed. */
  onChange(id: string, revision: string, isRemoved: boolean): void {
    if (isRemoved) this.#seen.delete(id);
    else this.#see(id, revision);
  }

  #see(id: string, revision: string): Seen {
    const before = this.#seen.get(id);
    if (before?.revision === revision) return before;
    const at = this.#clock.now();
    const seen = { revision, at, before: before?.at ?? at };
    this.#seen.set(id, seen);
    return seen;
  }

  /**
   * Looks for leases that have expired, and releases what their connections took.
   *
   * @param ttl Milliseconds after its last heartbeat that an owner counts as alive at least.
   * @returns The owners that are dead.
   */
  async sweep(ttl: number, options?: CallOptions): Promise<readonly string[]> {
    const leases = await this.#list(LEASES, options);
    const now = this.#clock.now();
    const there = new Set(leases.map(({ id }) => id));
    for (const id of this.#seen.keys()) {
      if (!there.has(id)) this.#seen.delete(id);
    }
    const dead = new Set<string>();
    const alive = new Set([this.#owner]);
    const grace = Math.max(0, ttl - this.#duration);
    for (const lease of leases) {
      const { id, revision, owner, duration, isExpired } = lease;
      const { at, before } = this.#see(id, revision);
      // The mark of its end is no heartbeat.
      const over = now - (isExpired ? before : at) - duration;
      if (over < grace) alive.add(owner);
      else dead.add(owner);
      if (over < 0 || id === this.#name) continue;
      // Twice, a lease apart: a claim may have been on its way when it expired.
      if (!isExpired) await this.#expire([lease], options);
      else if (over > this.#duration + grace) {
        const [last] = await this.#expire([lease], options);
        if (last !== undefined) await this.#database.remove(SWEEP, last);
      }
    }
    return [...dead].filter((each) => !alive.has(each));
  }

  /** Ends the lease: all is settled. */
  async end(): Promise<void> {
    await this.#renewing?.catch(() => {});
    if (this.#revision === undefined) return;
    const ours = { id: this.#name, revision: this.#revision };
    await this.#database.remove("end a lease", ours);
  }

  get #left(): number {
    return this.#until - this.#clock.now();
  }

  /**
   * Marks leases as expired, and releases what their connections took. Leases that were
   * marked before count too: the connection that did it may have come no further.
   *
   * @param leases The leases.
   * @param options The call's limits.
   * @returns The records of those that this connection marked.
   */
  async #expire(
    leases: readonly Lease[],
    options?: CallOptions,
  ): Promise<readonly WrittenRecord[]> {
    // First: from here on they cannot be renewed. The first to write wins.
    const marked = await Promise.all(leases.map(async (lease) => {
      const { id, revision, owner, duration, queues } = lease;
      const written = await this.#database.write({
        id,
        revision,
        fields: { owner, lease: duration, queues, missed: true },
        action: SWEEP,
      });
      return written.type === "written"
        ? [{ ...lease, revision: written.revision }]
        : [];
    }));
    const expired = marked.flat();
    const names = new Set(expired.map(({ id }) => id));
    for (const queue of new Set(expired.flatMap(({ queues }) => queues))) {
      await this.#releaseAll(queue, names, options);
    }
    return expired;
  }

  async #releaseAll(
    queue: string,
    names: ReadonlySet<unknown>,
    options?: CallOptions,
  ): Promise<void> {
    const action = `take back messages of queue "${queue}"`;
    const pages = this.#database.pages(action, rangeOf(queue), options);
    for await (const page of pages) {
      const taken = page.filter(({ revision }) => !isReady(revision))
        .map(({ id }) => id);
      for (let i = 0; i < taken.length; i += READ_AT_ONCE) {
        const ids = taken.slice(i, i + READ_AT_ONCE);
        const rows = await this.#database.read(action, ids, options);
        await Promise.all(
          rows.map((row) =>
            names.has(row.fields.holder) ? this.#release(row) : undefined
          ),
        );
      }
    }
  }

  async #list(prefix: string, options?: CallOptions): Promise<Lease[]> {
    const rows = await this.#database.list(SWEEP, {
      start: prefix,
      end: endOf(prefix),
      limit: MAX_LEASES,
      withFields: true,
    }, options);
    return rows.map((row) => leaseOf(row, this.#duration));
  }
}

function prefixOf(owner: string): string {
  return `${LEASES}${encodeURIComponent(owner)}/`;
}

function nameOf(owner: string): string {
  return prefixOf(owner) + crypto.randomUUID();
}

function leaseOf({ id, revision, fields }: Row, ours = 0): Lease {
  const { owner, lease, queues, missed }: Fields = fields ?? {};
  return {
    id,
    revision,
    owner: typeof owner === "string" ? owner : "",
    duration: typeof lease === "number" ? lease : ours,
    isExpired: missed === true,
    queues: Array.isArray(queues)
      ? queues.filter((each) => typeof each === "string")
      : [],
  };
}
