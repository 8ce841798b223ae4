import { MessagingError, TimeoutError } from "../../model/errors.ts";
import type { BrokerUrl } from "../../url/broker_url.ts";
import { formatUrl } from "../../url/format.ts";
import { cannotConnect } from "../connection_errors.ts";
import { createStoreTransport } from "../store/connection.ts";
import { Lifeline } from "../store/lifeline.ts";
import type { Store } from "../store/store.ts";
import type { ConnectOptions, Transport } from "../transport.ts";
import { Clients } from "./clients.ts";
import { failureOf, isForeign } from "./errors.ts";
import { readSettings } from "./options.ts";
import { Requests } from "./requests.ts";
import { SqsStore } from "./store.ts";

/**
 * Makes the SQS transport.
 *
 * @returns The transport.
 *
 * @example Its name
 * ```ts
 * import { assertEquals } from "@std/assert";
 * import { createTransport } from "@dashi/mq/sqs";
 *
 * assertEquals(createTransport().name, "sqs");
 * ```
 */
export function createTransport(): Transport {
  return createStoreTransport({ name: "sqs", open });
}

async function open(url: BrokerUrl, options: ConnectOptions): Promise<Store> {
  const { clock, operationTimeout, heartbeat } = options;
  const settings = readSettings(url, options);
  const lifeline = new Lifeline({ clock });
  const requests = new Requests({
    clock,
    lifeline,
    operationTimeout,
    heartbeat,
  });
  const clients = new Clients(settings, requests, clock);
  try {
    await clients.probe(options);
  } catch (error) {
    requests.close();
    await lifeline.close(() => clients.close());
    throw notConnected(url, error);
  }
  return new SqsStore({
    settings,
    clients,
    requests,
    clock,
    lifeline,
    grace: heartbeat > 0
      ? Math.min(operationTimeout, heartbeat)
      : operationTimeout,
  });
}

/** Says why there is no connection. */
function notConnected(url: BrokerUrl, error: unknown): unknown {
  if (!(error instanceof MessagingError)) return error; // an abort's reason
  const { name, code, retryable, cause } = error;
  if (name === "AuthenticationError") return error;
  if (error instanceof TimeoutError) {
    return new TimeoutError(
      `Cannot connect to "${formatUrl(url)}" in time: it does not answer`,
      { cause: error, outcome: "not-sent" },
    );
  }
  const reason = error.message.replace(/^Cannot connect to SQS:? /, "");
  const answers = code === "precondition-failed" ||
    isForeign(failureOf(cause));
  return cannotConnect(
    `connect to "${formatUrl(url)}"`,
    answers ? `it answers, but not as SQS does; ${reason}` : reason,
    { retryable: answers ? false : retryable, cause: cause ?? error },
  );
}
