import { encodeBase64 } from "../../codec/base64.ts";
import { checkPublishing, MAX_WAIT } from "../../model/checks.ts";
import { OptionError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { Exchange, exchangeName } from "../entities/exchange.ts";
import { Queue } from "../entities/queue.ts";
import { checkKnown } from "../known_options.ts";
import type { Call } from "../operation_options.ts";
import { declareFirst } from "../publish/declare_first.ts";
import { encode } from "../publish/encoding.ts";
import {
  checkExchange,
  checkQueue,
  checkRange,
  propertiesOf,
} from "../publish/publishing.ts";
import type { ScheduleHealth } from "../connection/schedule_health.ts";
import type { ScheduleHost } from "./schedule_host.ts";
import {
  checkSchedule,
  checkScheduleName,
  checkTable,
  checkVersion,
  type ScheduleInfo,
  type ScheduleOptions,
  SCHEDULES,
  type ScheduleTableOptions,
  UNSCHEDULE,
  type UnscheduleOptions,
} from "./schedule_options.ts";
import type { Definition, ScheduleState } from "./state.ts";
import { ScheduleTable } from "./table.ts";
import { tickMessage } from "./tick.ts";
import { timingOf } from "./timing.ts";
import type { When } from "./when.ts";
import { type Asked, payloadOf } from "./wire.ts";

/** How long an answer is waited for before it is asked again, ms, doubling: the process that took the question may have been killed with it. */
const ASK_AGAIN = 3000;

/** A table that this connection has a share in, and for whom. */
interface Share {
  readonly table: ScheduleTable;
  /** The calls that are under way. */
  calls: number;
}

/** The schedules of a connection. */
export class Scheduler {
  readonly #host: ScheduleHost;
  readonly #shares = new Map<string, Share>();
  readonly #leaving = new Set<Promise<void>>();

  /** Makes one without any. */
  constructor(host: ScheduleHost) {
    this.#host = host;
  }

  /** Counts them. */
  health(): ScheduleHealth {
    let held = 0;
    for (const { table } of this.#shares.values()) held += table.held;
    return { taking: this.#shares.size, held, ...this.#host.counts };
  }

  /** Defines a schedule, and takes part in its table. */
  async schedule<T>(
    name: string,
    when: When,
    options: ScheduleOptions<T> = {},
  ): Promise<ScheduleInfo> {
    checkSchedule(name, when, options);
    checkExchange(options.exchange);
    checkQueue({ queue: options.queue });
    const { session } = this.#host;
    const { signal, timeout, queue, exchange } = options;
    const call = session.call({ signal, timeout });
    const timing = await timingOf(when); // which may refuse it
    if (timing.after(0) === undefined) throw neverTicks(when);
    const definition = await this.#definitionOf(when, options, call);
    // A tick that cannot be published would be tried again without end.
    checkPublishing(tickMessage(name, definition, 0, false));
    const entities = [queue, exchange].filter((each) =>
      each instanceof Queue || each instanceof Exchange
    );
    await declareFirst(session, entities, { ...call, retry: true });
    const now = session.clock.wall();
    const { version = 0 } = options;
    const state: ScheduleState = {
      name,
      version,
      since: now,
      definition,
      from: now,
      last: now,
    };
    return await this.#within(options.table, async (share) => {
      share.table.give(state);
      const asked: Asked = { type: "define", state };
      const joined = await this.#ask<ScheduleState>(share, asked, call);
      share.table.compare(joined);
      return await share.table.describe(joined);
    });
  }

  /** Removes a schedule. */
  async unschedule(
    name: string,
    options: UnscheduleOptions = {},
  ): Promise<boolean> {
    checkScheduleName(name);
    checkKnown(options, UNSCHEDULE);
    checkVersion(options.version);
    const { session } = this.#host;
    const { version, signal, timeout } = options;
    const call = session.call({ signal, timeout });
    return await this.#within(options.table, async (share) => {
      const since = session.clock.wall();
      const removed = await this.#ask<boolean>(
        share,
        { type: "remove", name, version, since },
        call,
      );
      share.table.forget(name);
      return removed;
    });
  }

  /** Lists the schedules of a table. */
  async list(
    options: ScheduleTableOptions = {},
  ): Promise<readonly ScheduleInfo[]> {
    checkKnown(options, SCHEDULES);
    const { signal, timeout } = options;
    const call = this.#host.session.call({ signal, timeout });
    return await this.#within(options.table, async (share) => {
      const states = await this.#ask<readonly ScheduleState[]>(
        share,
        { type: "list" },
        call,
      );
      return await Promise.all(
        states.filter(({ definition }) => definition !== null)
          .toSorted((a, b) => a.name < b.name ? -1 : 1)
          .map((state) => share.table.describe(state)),
      );
    });
  }

  /** Gives all back. Never rejects. */
  async close({ deadline }: { readonly deadline: number }): Promise<void> {
    const shares = [...this.#shares.values()];
    this.#shares.clear();
    await Promise.all([
      ...shares.map(({ table }) => table.close(deadline)),
      ...this.#leaving,
    ]);
  }

  /** Has a share in a table for as long as a call lasts, or a schedule was given here. */
  async #within<R>(
    given: string | undefined,
    action: (share: Share) => Promise<R>,
  ): Promise<R> {
    checkTable(given);
    const name = given ? `dashi.schedules.${given}` : "dashi.schedules";
    let share = this.#shares.get(name);
    if (share === undefined) {
      const table = new ScheduleTable(this.#host, name);
      share = { table, calls: 0 };
      this.#shares.set(name, share);
    }
    share.calls++;
    try {
      return await action(share);
    } finally {
      share.calls--;
      if (
        share.calls === 0 && !share.table.takesPart &&
        this.#shares.get(name) === share
      ) {
        this.#shares.delete(name);
        await this.#leave(share.table);
      }
    }
  }

  async #leave(table: ScheduleTable): Promise<void> {
    const { deadline } = this.#host.session.call();
    const leaving = table.close(deadline);
    this.#leaving.add(leaving);
    await leaving;
    this.#leaving.delete(leaving);
  }

  /** Asks a holder, which may be this process; to be asked twice is to be asked once. */
  async #ask<A>(
    { table: { queue } }: Share,
    asked: Asked,
    { signal, deadline }: Call,
  ): Promise<A> {
    const { session: { clock } } = this.#host;
    const done = new AbortController();
    const either = signal === undefined
      ? done.signal
      : AbortSignal.any([signal, done.signal]);
    const { promise, resolve, reject } = Promise.withResolvers<A>();
    let stop: (() => void) | undefined;
    const ask = (patience: number) => {
      this.#host.request<A>(payloadOf(asked), {
        routingKey: queue.name,
        declare: [queue],
        signal: either,
        timeout: Math.max(1, deadline - clock.now()),
      }).then(resolve, reject);
      stop = clock.timer(() => ask(2 * patience), patience);
    };
    ask(ASK_AGAIN);
    try {
      return await promise;
    } finally {
      stop?.();
      done.abort();
    }
  }

  async #definitionOf<T>(
    when: When,
    options: ScheduleOptions<T>,
    call: Call,
  ): Promise<Definition> {
    const { codecs, session } = this.#host;
    const { queue, payload = null, mandatory } = options;
    checkRange("expiration", options.expiration, 0, MAX_WAIT);
    const encoded = await encode(codecs, payload, options);
    const { messageId: _, ...properties } = propertiesOf(
      options,
      undefined,
      encoded,
    );
    const name = queue instanceof Queue && queue.name === ""
      ? (await session.declare([queue], () => call))[0]?.name
      : undefined;
    const { cron, every, timezone } = when;
    return {
      when: every === undefined
        ? { cron, ...(timezone === undefined ? {} : { timezone }) }
        : { every },
      missed: options.missed ?? "one",
      exchange: exchangeName(options.exchange ?? ""),
      routingKey: queue === undefined
        ? options.routingKey ?? ""
        : name ?? (queue instanceof Queue ? queue.name : queue),
      mandatory,
      properties,
      body: encodeBase64(encoded.body),
    };
  }
}

function neverTicks({ cron }: When): OptionError {
  return new OptionError(
    `Cannot use ${
      quote(cron)
    } as the option "cron" of schedule: there is no such date, so it never ticks`,
  );
}
