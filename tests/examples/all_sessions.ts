/** Plays all sessions that the pages show, and says what each is to print. */

import { PAGES, readPage, sessionsOf, type Step } from "./programs.ts";
import { play, type Stage } from "./session.ts";

const SESSIONS: ReadonlyMap<string, readonly Step[]> = new Map(
  PAGES.flatMap((page) => [...sessionsOf(readPage(page))]),
);

/** The brokers that they are played on. */
export type Broker = "RabbitMQ" | "Redis" | "SQLite" | "memory";

/** The session with a process of Python beside ours. */
const PYTHON = "kombu/worker";

/** The sessions in which two processes print at once, or whose order is the broker's. */
const UNORDERED: Readonly<Record<Broker, readonly string[]>> = {
  RabbitMQ: [PYTHON],
  Redis: [PYTHON, "work_queue"], // a killed worker's job comes back later
  SQLite: ["work_queue"],
  memory: [],
};

/** The sessions in which a second process is to find what the first left. */
const SHARED: readonly string[] = [PYTHON, "work_queue"];

/** What a session printed, or is to print. */
export interface Printed {
  readonly name: string;
  readonly lines: readonly string[];
  readonly stderr: string;
  /** How many of its programs were killed. */
  readonly killed: number;
  /** How many of them ended badly otherwise. */
  readonly failed: number;
}

/**
 * Plays them, all at once.
 *
 * @param broker The broker.
 * @param stageFor The stage of each; without Python none plays that needs it.
 * @returns What they printed, and what the pages say, in the same order.
 */
export async function playAll(
  broker: Broker,
  stageFor: (name: string) => Stage,
): Promise<readonly [printed: readonly Printed[], wanted: readonly Printed[]]> {
  const sessions = [...SESSIONS].filter(([name]) =>
    (broker !== "memory" || !SHARED.includes(name)) &&
    (name !== PYTHON ||
      broker !== "SQLite" && stageFor(name).python !== undefined)
  );
  const comparable = (name: string, lines: readonly string[]) => {
    const all = lines.map(dateless);
    return UNORDERED[broker].includes(name) ? all.sort() : all;
  };
  const wanted = sessions.map(([name, steps]): Printed => ({
    name,
    lines: comparable(name, steps.flatMap(({ lines }) => lines)),
    stderr: "",
    killed: steps.filter(({ command }) => command.startsWith("kill -9")).length,
    failed: 0,
  }));
  const printed = await Promise.all(
    sessions.map(async ([name, steps]): Promise<Printed> => {
      const { lines, stderr, codes } = await play(steps, stageFor(name));
      return {
        name,
        lines: comparable(name, lines),
        stderr,
        killed: codes.filter((code) => code === KILLED).length,
        failed: codes.filter((code) => code !== 0 && code !== KILLED).length,
      };
    }),
  );
  return [printed, wanted];
}

/** The exit code of a process that SIGKILL ended. */
const KILLED = 128 + 9;

/** Dates are others each time. */
function dateless(line: string): string {
  return line.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/, "DATE");
}

/**
 * The URL for a session on a Redis of its own. What a killed process held comes back after
 * half a minute, and here after two seconds, which holds for all who use the database.
 */
export function redisUrlFor(name: string, url: string): string {
  return name === "work_queue"
    ? `${url.replace(/0$/, "1")}?visibility_timeout=2`
    : url;
}
