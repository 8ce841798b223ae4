import type { Capability } from "../../transports/transport.ts";
import { Broker } from "./broker.ts";
import type { Harness } from "./harness.ts";
import { arrives, CASE_PATIENCE, inTime, PATIENCE } from "./support.ts";

/** One promise of the contract. */
export interface ConformanceCase {
  /** The symbol and its behaviour, in plain words. */
  readonly name: string;
  /** The capabilities that the case needs of the broker. */
  readonly needs: readonly Capability[];
  /** Capabilities that the broker must lack: the case shows that they are refused. */
  readonly lacks: readonly Capability[];
  /** Whether the harness must be able to restart the broker. */
  readonly restarts: boolean;
  /** Whether the harness must be able to start a process, which is killed. */
  readonly kills: boolean;
  /** Whether the harness must be able to make transactions. */
  readonly transacts: boolean;
  /** Whether it is long, and may wait until there is more time. */
  readonly slow: boolean;
  /** Whether messages must come in order, and what is put back in its place. */
  readonly ordered: boolean;
  /** Whether there must be a largest body. */
  readonly limited: boolean;
  /** Whether the broker must tell the time by a clock of its own. */
  readonly timed: boolean;
  /** Whether the transport must be made of a store, whose verbs the case lets fail. */
  readonly wraps: boolean;
  /** Runs it; rejects if the promise is not kept. */
  run(harness: Harness): Promise<void>;
}

/** The requirements of a case, if it needs more than every broker has. */
export interface CaseOptions {
  /** The capabilities that the case needs of the broker. */
  readonly needs?: readonly Capability[];
  /** The capabilities that the broker must lack. */
  readonly lacks?: readonly Capability[];
  /** Whether the broker is restarted. */
  readonly restarts?: boolean;
  /** Whether a process is started and killed. */
  readonly kills?: boolean;
  /** Whether transactions of the broker's database are made. */
  readonly transacts?: boolean;
  /** Whether it is long. */
  readonly slow?: boolean;
  /** Whether messages must come in order, and what is put back in its place. */
  readonly ordered?: boolean;
  /** Whether there must be a largest body. */
  readonly limited?: boolean;
  /** Whether the broker must tell the time by a clock of its own. */
  readonly timed?: boolean;
  /** Whether the transport must be made of a store. */
  readonly wraps?: boolean;
}

/**
 * Makes a case that gets an open connection, and what it declares removed.
 *
 * @param name The case's name.
 * @param run The body of the case.
 * @param options Its requirements.
 * @returns The case.
 */
export function onBroker(
  name: string,
  run: (broker: Broker, harness: Harness) => Promise<void>,
  options: CaseOptions = {},
): ConformanceCase {
  return onHarness(
    name,
    (harness) => withBroker(harness, (broker) => run(broker, harness)),
    options,
  );
}

/**
 * Makes a case that must do something before a time is over, as `onBroker` does: with a
 * connection of its own for each time that is tried.
 *
 * @param name The case's name.
 * @param times The times that `inTime` tries, ms.
 * @param run The body of the case.
 * @param options Its requirements.
 * @returns The case.
 */
export function onBrokerInTime(
  name: string,
  times: readonly number[],
  run: (broker: Broker, time: number, harness: Harness) => Promise<void>,
  options: CaseOptions = {},
): ConformanceCase {
  return onHarness(
    name,
    (harness) =>
      inTime(
        times,
        (time) => withBroker(harness, (broker) => run(broker, time, harness)),
      ),
    options,
  );
}

async function withBroker(
  harness: Harness,
  run: (broker: Broker) => Promise<void>,
): Promise<void> {
  const broker = await Broker.open(harness);
  try {
    await arrives(run(broker), "the end of the case", CASE_PATIENCE);
  } finally {
    await broker[Symbol.asyncDispose]();
  }
}

/**
 * Makes a case that connects by itself.
 *
 * @param name The case's name.
 * @param run The body of the case.
 * @param options Its requirements.
 * @returns The case.
 */
export function onHarness(
  name: string,
  run: (harness: Harness) => Promise<void>,
  options: CaseOptions = {},
): ConformanceCase {
  const { needs = [], lacks = [], restarts = false, kills = false } = options;
  const { slow = false, transacts = false } = options;
  const { ordered = false, limited = false, wraps = false } = options;
  const { timed = false } = options;
  return {
    name,
    needs,
    lacks,
    restarts,
    kills,
    transacts,
    slow,
    ordered,
    limited,
    timed,
    wraps,
    // With what is removed and closed after it: nothing here waits for ever.
    run: (harness) =>
      arrives(
        run(harness),
        "the end of the case, and of its connections,",
        CASE_PATIENCE + 2 * PATIENCE,
      ),
  };
}
