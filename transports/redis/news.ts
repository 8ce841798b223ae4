import { Notifier } from "../../async/notifier.ts";
import type { Context } from "./context.ts";
import { Yielding } from "./yielding.ts";

/** How soon after a change of the tables waiting consumers look whether their queue is still there, ms. */
const TABLES_DELAY = 250;

/** What a connection hears of queues: by it the calls that wait for messages know when to look, and where. */
export class News {
  /** Wakes the calls that wait. */
  readonly notifier: Notifier;
  /** Queues that were found empty, and of which nothing was heard since. */
  readonly empty: Set<string> = new Set<string>();
  readonly #context: Context;
  readonly #yielding: Yielding;
  #tablesChanged = false;
  #stopTablesTimer: (() => void) | undefined;

  /** Makes one that has heard nothing. */
  constructor(context: Context) {
    const { clock, layout, limits, mirror } = context;
    this.#context = context;
    this.notifier = new Notifier(clock, limits);
    this.#yielding = new Yielding(clock, {
      peek: (queue) =>
        context.commands.watch(
          "look into a queue",
          layout.places(queue, mirror.traitsOf(queue).ordered),
        ),
      ring: (queue) => this.ring(queue),
    });
  }

  /** A queue may have messages. */
  ring(queue: string): void {
    this.#yielding.forget(queue);
    this.empty.delete(queue);
    this.wake(queue);
  }

  /** A list has changed. */
  ringList(key: string): void {
    const queue = this.#context.layout.queueOf(key);
    if (queue === undefined) return;
    const { mirror, owner } = this.#context;
    const consumers = mirror.topology.queue(queue)?.consumers ?? [];
    const isAwaited = consumers.some((each) => each.owner !== owner) &&
      this.notifier.hears(queue);
    this.#yielding.tell(queue, isAwaited);
  }

  /** A queue has messages that no list has. */
  wake(queue: string): void {
    this.notifier.notify(queue);
  }

  /** Any queue may have messages. */
  ringAll(): void {
    this.empty.clear();
    this.ringDue();
  }

  /** Time will change something sooner than it was said. */
  ringDue(): void {
    this.notifier.notifyAll();
  }

  /** The tables have changed: those that churn are looked at once for many changes. */
  ringTables(): void {
    if (this.notifier.isIdle) {
      this.#tablesChanged = true;
      return;
    }
    this.#stopTablesTimer ??= this.#context.clock.timer(() => {
      this.#stopTablesTimer = undefined;
      this.#tablesChanged = true;
      this.ringDue();
    }, TABLES_DELAY);
  }

  /** Whether the tables have changed since this was asked. */
  readTables(): boolean {
    const changed = this.#tablesChanged;
    this.#tablesChanged = false;
    return changed;
  }

  /** A look at a queue has found something, or nothing. */
  looked(queue: string, hasFound: boolean): void {
    this.#yielding.looked(queue, hasFound);
  }

  /** Ends with its connection: who waits looks, and finds that it is over. */
  close(): void {
    this.#stopTablesTimer?.();
    this.#yielding.close();
    this.ringDue();
  }
}
