import type { Queue } from "../messaging/entities/queue.ts";
import type { ConnectionEvent, MiddlewareHost } from "../messaging/mod.ts";
import { depthsOf } from "./depths.ts";
import type { Operations } from "./operations.ts";
import { errorType, type Recorder } from "./recorder.ts";

/** Counts what the events of a connection tell, and knows what it is connected to. */
export class ConnectionEvents {
  readonly #recorder: Recorder;
  readonly #host: MiddlewareHost;
  readonly #stopDepths: (() => void) | undefined;
  #wasOpen = false;
  /** The names of what is done at the server that it is connected to. */
  operations: Operations;

  /** Makes one, which tells the depth of queues until the connection is closed. */
  constructor(
    recorder: Recorder,
    host: MiddlewareHost,
    depthOf: readonly (Queue | string)[],
  ) {
    this.#recorder = recorder;
    this.#host = host;
    this.operations = recorder.meters.operations(host.info());
    this.#wasOpen = host.state.type === "open";
    this.#stopDepths = depthOf.length === 0
      ? undefined
      : recorder.meters.watchDepths(() =>
        depthsOf(depthOf, host, (name) => this.operations.queue(name))
      );
  }

  /** Hears of an event. */
  event(event: ConnectionEvent): void {
    const { meters } = this.#recorder;
    switch (event.type) {
      case "state":
        if (event.state.type === "open") this.#opened();
        else if (event.state.type === "closed") this.#stopDepths?.();
        break;
      case "handler-failed":
        if (event.next?.type === "retry") {
          const { queue, error } = event;
          meters.retried(this.operations.queue(queue), errorType(error));
        }
        break;
      case "rejected":
        // Other brokers' dead letters are told by themselves.
        if (this.operations.isRabbit) this.#gaveUp(event.queue, "rejected");
        break;
      case "dead-lettered":
        this.#gaveUp(event.queue, event.reason);
        break;
      case "parked":
      case "dropped":
      case "quarantined":
        this.#gaveUp(event.queue, event.type);
    }
  }

  /** It may be connected to another server than before. */
  #opened(): void {
    const { meters } = this.#recorder;
    this.operations = meters.operations(this.#host.info());
    if (this.#wasOpen) meters.reconnected(this.operations.queue(""));
    this.#wasOpen = true;
  }

  #gaveUp(queue: string, reason: string): void {
    const { meters } = this.#recorder;
    meters.deadLettered(this.operations.queue(queue), reason);
  }
}
