// deno-lint-ignore-file no-console no-top-level-await -- a program for people
/**
 * Forty jobs, three workers, and a day on which much goes wrong: `deno task demo [url]`.
 *
 * A worker is killed in the middle of a job, and another one finishes it; a handler fails
 * and is called again; a job that nobody can do becomes a dead letter, and is put back
 * once the bug is mended. Each worker is a process. Without a URL the broker is a folder
 * (`folder_transport.ts`), so that nothing has to be installed.
 */

import {
  type Connection,
  createConnection,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { folderTransport } from "./folder_transport.ts";

interface Job {
  readonly id: number;
  readonly work: "quick" | "long" | "flaky" | "unheard-of";
}

/** The progress line is drawn from these, which are messages too. */
interface Report {
  readonly worker: string;
  readonly job: number;
  readonly state: "began" | "failed" | "done";
}

const JOBS = 40;
const LONG = 7;
const FLAKY = [12, 25];
const UNHEARD_OF = 30;

// the code {
const jobs = new Queue<Job>("demo.jobs", { deadLetter: "demo.jobs.dead" });
const reports = new Queue<Report>("demo.reports");

async function work(connection: Connection, worker: string): Promise<void> {
  Deno.addSignalListener("SIGTERM", () => connection.close());
  const reporter = connection.producer({ queue: reports });
  await connection.consumer(jobs, { prefetch: 4 }).run(async (message) => {
    const { payload: { id: job, work }, attempt } = message;
    await reporter.publish({ worker, job, state: "began" });
    try {
      await doIt(work, attempt, worker);
    } catch (error) {
      await reporter.publish({ worker, job, state: "failed" });
      throw error; // called again, three times in all; then it is a dead letter
    }
    await reporter.publish({ worker, job, state: "done" });
  }, { concurrency: 2, retry: { attempts: 3, initialDelay: 200 } });
}
// }

async function doIt(
  work: Job["work"],
  attempt: number,
  worker: string,
): Promise<void> {
  await new Promise((done) => setTimeout(done, work === "long" ? 1500 : 60));
  if (work === "flaky" && attempt === 1) throw new Error("The disk was full");
  if (work === "unheard-of" && worker !== "worker 3") {
    throw new Error(`No code for "${work}" yet`);
  }
}

async function lead(url: string, place: string): Promise<void> {
  await using connection = connect(url, place);
  await connection.declare([jobs, reports]);
  for (const queue of [jobs.name, reports.name, "demo.jobs.dead"]) {
    await connection.queue(queue).purge(); // an earlier demo may have been stopped
  }
  const producer = connection.producer({ queue: jobs });
  const all = Array.from({ length: JOBS }, (_, i) => jobOf(i + 1));
  await Promise.all(all.map((job) => producer.publish(job)));
  tell(`${JOBS} jobs are published; two workers begin`);

  const workers = new Map<string, Deno.ChildProcess>();
  const start = (name: string) => workers.set(name, spawn(url, place, name));
  start("worker 1");
  start("worker 2");
  const done = new Set<number>();
  let [again, dead, killed] = [0, 0, ""];
  const failures = new Map<number, number>();
  try {
    for await (const message of connection.consumer(reports)) {
      const { worker, job, state } = message.payload;
      await message.ack();
      if (state === "done") done.add(job);
      if (state === "failed") {
        const count = (failures.get(job) ?? 0) + 1;
        failures.set(job, count);
        if (count === 3) dead++;
        else again++;
        if (count === 1) {
          tell(`job ${job} failed in ${worker}: it is tried again`);
        }
      }
      if (job === LONG && state === "began") {
        if (killed === "") {
          killed = worker;
          workers.get(worker)?.kill("SIGKILL");
          tell(
            `job ${LONG} had begun in ${worker}, which was killed (SIGKILL)`,
          );
        } else tell(`job ${LONG} begins again in ${worker}`);
      }
      if (job === LONG && state === "done") {
        tell(`job ${LONG} was finished by ${worker}`);
      }
      progress(done.size, again, dead);
      if (done.size === JOBS - 1 && dead === 1 && !workers.has("worker 3")) {
        await showDead(connection);
        start("worker 3");
        tell("the bug is mended: worker 3 begins");
        await retire(workers, killed);
        await connection.redrive("demo.jobs.dead");
        tell("the dead letter was put back, by connection.redrive()");
      }
      if (done.size === JOBS) break;
    }
  } finally {
    for (const child of workers.values()) await stop(child);
    progress(done.size, again, dead, "\n");
  }
  tell(`all ${JOBS} jobs are done; none was lost`);
  for (const queue of [jobs.name, reports.name, "demo.jobs.dead"]) {
    await connection.queue(queue).delete();
  }
}

function jobOf(id: number): Job {
  if (id === LONG) return { id, work: "long" };
  if (id === UNHEARD_OF) return { id, work: "unheard-of" };
  return { id, work: FLAKY.includes(id) ? "flaky" : "quick" };
}

/** It may take a moment until the broker has moved it there. */
async function showDead(connection: Connection): Promise<void> {
  const dead = connection.queue<Job>("demo.jobs.dead");
  for (let tries = 0; tries < 100; tries++) {
    const message = await dead.get();
    if (message !== undefined) {
      const { payload: { id }, attempt, deaths, headers } = message;
      const why = headers["x-error-message"] ?? deaths[0]?.reason;
      tell(`job ${id} is a dead letter after ${attempt} attempts: ${why}`);
      await message.requeue();
      break;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await dead.close();
}

/** Ends the workers that have the bug: each finishes what it has begun. */
async function retire(
  workers: ReadonlyMap<string, Deno.ChildProcess>,
  killed: string,
): Promise<void> {
  for (const [name, child] of workers) {
    if (name !== "worker 3" && name !== killed) await stop(child);
  }
}

function connect(url: string, place: string): Connection {
  if (url !== "") return createConnection(url, { name: "dashi demo" });
  return createConnection(`folder://${place}`, {
    transport: folderTransport,
    transportOptions: { lease: 1000 }, // what a killed worker held comes back soon
  });
}

function spawn(url: string, place: string, name: string): Deno.ChildProcess {
  const args = ["run", "-A", "--quiet", import.meta.url, url, place, name];
  return new Deno.Command(Deno.execPath(), { args, stdin: "null" }).spawn();
}

async function stop(child: Deno.ChildProcess): Promise<void> {
  try {
    child.kill("SIGTERM");
  } catch {
    // it has ended
  }
  await child.status;
}

const encoder = new TextEncoder();
let line = "";

function tell(text: string): void {
  if (line !== "") Deno.stdout.writeSync(encoder.encode("\r\x1b[K"));
  console.log(text);
  Deno.stdout.writeSync(encoder.encode(line));
}

function progress(
  done: number,
  again: number,
  dead: number,
  end = "",
): void {
  if (!Deno.stdout.isTerminal()) return;
  const bar = "█".repeat(done / 2).padEnd(JOBS / 2, "░");
  line =
    `\r${bar} ${done} of ${JOBS} done, ${again} tried again, ${dead} dead\x1b[K${end}`;
  Deno.stdout.writeSync(encoder.encode(line));
  if (end !== "") line = "";
}

/** The part of this file that a user would write. */
async function showCode(): Promise<void> {
  const text = await Deno.readTextFile(new URL(import.meta.url));
  const [, code = ""] = text.split(/^\/\/ (?:the code \{|\})$/m);
  console.log(`\nThe code of the workers, from examples/demo.ts:\n${code}`);
}

if (import.meta.main) {
  const [url = "", place, worker] = Deno.args;
  if (url.startsWith("memory:")) {
    console.error(
      "memory:// lives in one process, and each worker of the demo is one: " +
        "give the URL of a broker, or none",
    );
    Deno.exit(1);
  }
  try {
    if (worker !== undefined) {
      await using connection = connect(url, place ?? "");
      await work(connection, worker);
    } else {
      const folder = await Deno.makeTempDir({ prefix: "dashi-demo-" });
      try {
        await lead(url, folder);
      } finally {
        await Deno.remove(folder, { recursive: true });
      }
      await showCode();
    }
  } catch (error) {
    if (!(error instanceof MessagingError)) throw error;
    console.error(error.message);
    Deno.exit(1);
  }
}
