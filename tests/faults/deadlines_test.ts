import { assert } from "@std/assert";
import {
  type Connection,
  createConnection,
  type Message,
  MessagingError,
  Queue,
} from "@dashi/mq";
import { assertNothingLeft, resources } from "../support/leaks.ts";
import { Proxy } from "../support/proxy.ts";
import { SLACK } from "../support/slack.ts";
import { onEach } from "../support/targets.ts";

/** The timeout of each call, ms. */
const TIMEOUT = 1000;
/** A tenth of that, and more where the machine is busy, ms. */
const GRACE = 100 + SLACK;

/** A connection through a proxy, and what calls need that come after a good start. */
interface Scene {
  readonly proxy: Proxy;
  readonly connection: Connection;
  readonly queue: Queue;
  /** Of each call, ms. */
  timeout: number;
  message: Message<unknown> | undefined;
  consumer: ReturnType<Connection["consumer"]> | undefined;
}

/** The calls that the broker must answer. */
const CALLS: Readonly<Record<string, (scene: Scene) => Promise<unknown>>> = {
  connect: ({ connection, timeout }) => connection.connect({ timeout }),
  declare: ({ connection, queue, timeout }) =>
    connection.declare(queue, { timeout }),
  publish: ({ connection, queue, timeout }) =>
    connection.producer().publish(1, {
      routingKey: queue.name,
      timeout,
    }),
  get: ({ connection, queue, timeout }) =>
    connection.simpleQueue(queue).get({ timeout }),
  ack: async ({ message, timeout }) => await message?.ack({ timeout }),
  cancel: async ({ consumer, timeout }) => await consumer?.cancel({ timeout }),
  close: ({ connection }) => connection.close({ drainTimeout: TIMEOUT }),
};

/** These make sense only where something went well before. */
const LATER: ReadonlySet<string> = new Set(["ack", "cancel"]);

/** The faults of the network: before the call, or while it waits. */
const FAULTS: Readonly<
  Record<
    string,
    { before(proxy: Proxy): void; during?(proxy: Proxy): void }
  >
> = {
  "a closed port": { before: (proxy) => proxy.refuse() },
  "a port that accepts and stays silent": {
    before(proxy) {
      proxy.cut();
      proxy.stall();
    },
  },
  "a connection that is killed in the middle": {
    before: (proxy) => proxy.stall(),
    during: (proxy) => proxy.cut(),
  },
  "a black hole": { before: (proxy) => proxy.stall() },
};

for (const [fault, { before, during }] of Object.entries(FAULTS)) {
  onEach(
    `every call settles within its deadline, the first and the second, before ${fault} (row 2)`,
    async (url) => {
      // A driver that is imported for the first time holds up the event loop.
      const warm = createConnection(url);
      await warm.connect();
      await warm.close();
      const left = resources();
      const cases = Object.keys(CALLS).flatMap((call) =>
        LATER.has(call)
          ? [[call, true] as const]
          : [[call, false] as const, [call, true] as const]
      );
      const failures: string[] = [];
      await Promise.all(cases.map(async ([call, started]) => {
        const scene = await open(url, started);
        before(scene.proxy);
        for (const turn of ["first", "second"]) {
          const settled = CALLS[call]?.(scene);
          assert(settled !== undefined);
          if (during !== undefined) {
            setTimeout(() => during(scene.proxy), TIMEOUT / 4);
          }
          const what = `the ${turn} ${call} ${
            started ? "after a good start" : "from the start"
          }`;
          failures.push(...await judge(what, settled, fault));
        }
        const closing = scene.connection.close({ drainTimeout: TIMEOUT });
        failures.push(
          ...await judge(`the closing after ${call}`, closing, fault),
        );
        await scene.proxy[Symbol.asyncDispose]();
      }));
      await assertNothingLeft(left);
      assert(failures.length === 0, failures.join("\n"));
    },
  );
}

onEach(
  "no call waits on when its connection is closed in a black hole, though it has longer",
  async (url) => {
    const left = resources();
    const scene = await open(url, true);
    scene.timeout = 120_000;
    scene.proxy.stall();
    const { close, ...others } = CALLS;
    const calls = Object.entries(others).map(async ([name, call]) => {
      await call(scene).catch((error: unknown) => {
        if (!(error instanceof MessagingError)) throw error;
      });
      waiting.delete(name);
    });
    const waiting = new Set(Object.keys(others));
    const ended = Promise.all([...calls, close?.(scene)]);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`${[...waiting]} did not settle`)),
        20_000,
      );
    });
    await Promise.race([ended, late]);
    clearTimeout(timer);
    await scene.proxy[Symbol.asyncDispose]();
    await assertNothingLeft(left);
  },
);

async function open(url: string, started: boolean): Promise<Scene> {
  const proxy = Proxy.to(url);
  const connection = createConnection(proxy.urlOf(url), {
    connectTimeout: started ? 10_000 : TIMEOUT,
    operationTimeout: started ? 10_000 : TIMEOUT,
  });
  const queue = new Queue(`dashi-deadline-${crypto.randomUUID()}`, {
    durable: false,
    autoDelete: true,
  });
  const scene: Scene = {
    proxy,
    connection,
    queue,
    timeout: TIMEOUT,
    message: undefined,
    consumer: undefined,
  };
  if (!started) return scene;
  await connection.producer({ declare: [queue] }).publish(1, {
    routingKey: queue.name,
  });
  scene.consumer = connection.consumer(queue);
  const { value } = await scene.consumer[Symbol.asyncIterator]().next();
  scene.message = value;
  return scene;
}

/** Describes the way in which a call settled wrongly. */
async function judge(
  what: string,
  settling: Promise<unknown>,
  fault: string,
): Promise<string[]> {
  const began = performance.now();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const never = new Promise<"never">((resolve) => {
    timer = setTimeout(() => resolve("never"), 10 * TIMEOUT);
  });
  const result = await Promise.race([
    settling.then(() => undefined, (error: unknown) => ({ error })),
    never,
  ]);
  clearTimeout(timer);
  const took = Math.round(performance.now() - began);
  if (result === "never") return [`${what} did not settle (${fault})`];
  const wrong: string[] = [];
  if (took > TIMEOUT + GRACE) wrong.push(`${what} took ${took} ms (${fault})`);
  if (result !== undefined && !(result.error instanceof MessagingError)) {
    wrong.push(`${what} rejected with ${Deno.inspect(result.error)}`);
  }
  return wrong;
}
