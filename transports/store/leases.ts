import type { Clock } from "../../async/clock.ts";
import { planOwnerGone } from "../../virtual/declare.ts";
import type { Declarer } from "./declarer.ts";
import type { Reservation, Store } from "./store.ts";

/** How long an owner counts as alive after its last beat, ms. */
export const OWNER_TTL: number = 30_000;

/** The reservations that are leased, and the handler for those that were lost. */
export interface LeaseHolder {
  /** Changes the tables where owners are gone. */
  readonly declarer: Declarer;
  /** Lists the unsettled reservations. */
  held(): readonly Reservation[];
  /** These are no longer ours. */
  lost(reservations: readonly Reservation[]): void;
}

/** The options of a connection that {@linkcode Leases} use. */
export interface LeaseSettings {
  readonly owner: string;
  readonly operationTimeout: number;
  readonly clock: Clock;
}

/** Keeps delivered messages out of the others' sight, and its owner alive, while the connection lives. */
export class Leases {
  readonly #store: Store;
  readonly #settings: LeaseSettings;
  readonly #holder: LeaseHolder;
  #stops: (() => void)[] = [];
  #stopped = false;

  /** Starts renewing, where the store's reservations expire, and beating, where it counts its owners. */
  constructor(store: Store, settings: LeaseSettings, holder: LeaseHolder) {
    this.#store = store;
    this.#settings = settings;
    this.#holder = holder;
    const { lease } = store.limits;
    // A third: two renewals may fail before someone else is shown the message.
    if (lease !== undefined && store.messages.renew !== undefined) {
      this.#every(lease / 3, () => this.#renew());
    }
    if (store.presence !== undefined) {
      this.#every(OWNER_TTL / 3, () => this.#beat());
    }
  }

  /** Stops both. */
  stop(): void {
    this.#stopped = true;
    for (const stop of this.#stops) stop();
    this.#stops = [];
  }

  #every(interval: number, act: () => Promise<void>): void {
    const index = this.#stops.length;
    const again = () => {
      // A failed round is repeated by the next; a lost connection ends them all.
      act().catch(() => {}).then(() => {
        if (!this.#stopped) this.#stops[index] = set();
      });
    };
    const set = () => this.#settings.clock.timer(again, interval);
    this.#stops[index] = set();
  }

  async #renew(): Promise<void> {
    const held = this.#holder.held();
    if (held.length === 0) return;
    const lost = await this.#store.messages.renew?.(held, this.#limits());
    if (lost !== undefined && lost.length > 0) this.#holder.lost(lost);
  }

  async #beat(): Promise<void> {
    const { owner } = this.#settings;
    const dead =
      await this.#store.presence?.heartbeat(owner, OWNER_TTL, this.#limits()) ??
        [];
    for (const each of dead) {
      if (each === owner) this.#holder.lost(this.#holder.held());
      else {
        await this.#holder.declarer.change(
          { type: "owner", name: each },
          (topology) => planOwnerGone(topology, each),
          this.#limits(),
        );
      }
    }
  }

  #limits(): { deadline: number } {
    const { clock, operationTimeout } = this.#settings;
    return { deadline: clock.now() + operationTimeout };
  }
}
