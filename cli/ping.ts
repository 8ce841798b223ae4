import { Queue } from "../mod.ts";
import { adviceFor, lineOf } from "./advice.ts";
import type { Context } from "./context.ts";
import type { Column } from "./output.ts";
import { ownQueue } from "./own_queues.ts";

/** One step of a message's way. */
interface Step {
  readonly step: string;
  /** Milliseconds that it took. */
  readonly ms: number;
  readonly ok: boolean;
  /** Why it failed. */
  readonly error?: string | undefined;
  /** What to do. */
  readonly advice?: string | undefined;
}

const COLUMNS: readonly Column<Step>[] = [
  { head: "STEP", text: ({ step }) => step },
  { head: "MS", text: ({ ms }) => ms.toFixed(1), isNumber: true },
  { head: "", text: ({ ok, error }) => ok ? "ok" : error },
];

/** How long a queue stays whose process was killed, ms, where queues expire. */
const EXPIRES = 60_000;

/**
 * Sends a message through a queue of its own, step by step.
 *
 * @param context The context.
 * @returns 0 if all steps went well.
 */
export async function ping(context: Context): Promise<number> {
  const { output, terminal, connection } = context;
  let queue = new Queue(""); // named when it is known whether it may expire
  let isDeclared = false;
  const steps: Readonly<Record<string, () => Promise<unknown>>> = {
    connect: () => connection.connect(),
    declare: async () => {
      queue = ownQueue(connection, "ping", EXPIRES);
      await connection.declare(queue);
      isDeclared = true;
    },
    publish: () => connection.send(queue, "ping"),
    consume: async () => {
      const consumer = connection.consumer(queue);
      const timeout = connection.info().operationTimeout;
      const late = AbortSignal.timeout(timeout);
      const stop = () => void consumer.close({ drainTimeout: 1000 });
      late.addEventListener("abort", stop, { once: true });
      for await (const message of consumer) {
        await message.ack();
        late.removeEventListener("abort", stop);
        return;
      }
      throw new Error(`the message did not come within ${timeout} ms`);
    },
    delete: async () => {
      await connection.delete(queue);
      isDeclared = false;
    },
  };
  const done: Step[] = [];
  for (const [step, run] of Object.entries(steps)) {
    const began = performance.now();
    const passed = () => Math.round((performance.now() - began) * 10) / 10;
    try {
      await run();
      done.push({ step, ms: passed(), ok: true });
    } catch (error) {
      const [ms, advice] = [passed(), adviceFor(error)];
      done.push({ step, ms, ok: false, error: lineOf(error), advice });
      break;
    }
  }
  if (isDeclared) await connection.delete(queue).catch(() => {});
  await output.print(done, COLUMNS);
  const last = done.at(-1);
  if (last?.ok) return 0;
  if (output.isTable && last?.advice !== undefined) terminal.tell(last.advice);
  return 1;
}
