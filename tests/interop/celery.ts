/** Celery: a worker of it, and its messages. */

import type { FieldTable } from "@dashi/mq";

const FOLDER = new URL(".", import.meta.url).pathname;

/** A worker in a process of its own, with a solo pool. Disposing of it ends it. */
export class CeleryWorker implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  readonly #ready: Promise<void>;
  #log = "";
  #onText: () => void = () => {};

  /** Starts one for a queue. */
  constructor(
    python: string,
    options: {
      readonly broker: string;
      readonly backend: string;
      readonly queue: string;
      readonly transportOptions?: Readonly<Record<string, unknown>>;
    },
  ) {
    this.#child = new Deno.Command(python, {
      args: [
        "-m",
        "celery",
        "--app=celery_app",
        "--quiet",
        "worker",
        "--pool=solo",
        `--queues=${options.queue}`,
        `--hostname=${options.queue}@%h`,
        "--loglevel=INFO",
        "--without-mingle",
        "--without-gossip",
      ],
      cwd: FOLDER,
      env: {
        PYTHONDONTWRITEBYTECODE: "1",
        // As the superuser it warns, at length.
        C_FORCE_ROOT: "1",
        DASHI_BROKER: options.broker,
        DASHI_BACKEND: options.backend,
        DASHI_OPTIONS: JSON.stringify(options.transportOptions ?? {}),
      },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    this.#reading = this.#read();
    this.#ready = this.#says(" ready.");
  }

  /** Resolves when it consumes. */
  ready(): Promise<void> {
    return this.#ready;
  }

  async #says(text: string): Promise<void> {
    const ended = this.#reading.then(() => "ended" as const);
    while (!this.#log.includes(text)) {
      const more = new Promise<void>((resolve) => this.#onText = resolve);
      if (await Promise.race([more, ended]) === "ended") {
        throw new Error(`The worker has ended:\n${this.#log}`);
      }
    }
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stderr) {
      this.#log += decoder.decode(chunk, { stream: true });
      this.#onText();
    }
  }

  /** Ends it at once: what it has done is done. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#child.status;
    await this.#reading;
    await this.#ready.catch(() => {});
  }
}

/** A task's message in Celery's protocol 2: what to publish. */
export interface TaskMessage {
  readonly payload: readonly [
    readonly unknown[],
    Readonly<Record<string, unknown>>,
    Readonly<Record<string, unknown>>,
  ];
  readonly headers: FieldTable;
  readonly correlationId: string;
}

/** Makes a task's message. */
export function taskMessage(
  task: string,
  args: readonly unknown[],
  kwargs: Readonly<Record<string, unknown>> = {},
  headers: FieldTable = {},
): TaskMessage {
  const id = crypto.randomUUID();
  return {
    payload: [args, kwargs, {
      callbacks: null,
      errbacks: null,
      chain: null,
      chord: null,
    }],
    headers: {
      lang: "js",
      task,
      id,
      root_id: id,
      parent_id: null,
      group: null,
      eta: null,
      expires: null,
      retries: 0,
      timelimit: [null, null],
      argsrepr: JSON.stringify(args),
      kwargsrepr: JSON.stringify(kwargs),
      origin: "dashi",
      ...headers,
    },
    correlationId: id,
  };
}
