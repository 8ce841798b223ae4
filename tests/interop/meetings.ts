/** The brokers where we meet Kombu. */

import type { Meeting } from "./stage.ts";

/** RabbitMQ. */
export const AMQP: Meeting = {
  name: "amqp",
  broker: provided("AMQP"),
  highestFirst: true,
  lacks: { batch: "Kombu has no batches on AMQP" },
};

/** RabbitMQ, by the second client. */
export const AMQP_CLIENT: Meeting = {
  ...AMQP,
  name: "amqp_client",
  transport: "pika",
};

/** Redis, for the table of cases. */
export const REDIS: Meeting = redis(11);

/** Redis, for Celery and its results. */
export const CELERY_REDIS: Meeting = redis(12);

/**
 * Redis, in a database that no other test uses: what is unacked is shared by all who
 * use it, and here it is taken back after two seconds.
 */
function redis(database: number): Meeting {
  return {
    name: "redis",
    broker: provided(
      "REDIS",
      (url) => `${url.replace(/\/\d*$/, "")}/${database}`,
    ),
    // Kombu serves the lowest first there.
    highestFirst: false,
    ours: { priorityOrder: "lowest-first", visibilityTimeout: 2000 },
    theirs: {
      visibility_timeout: 2,
      unacked_restore_throttle: 1,
      unacked_restore_interval: 1,
    },
    lacks: { headers: "Kombu has no headers exchanges on Redis" },
  };
}

function provided(
  name: string,
  adapt: (url: string) => string = (url) => url,
): Meeting["broker"] {
  const url = Deno.env.get(`DASHI_TEST_${name}_URL`);
  return url === undefined
    ? {
      reason: Deno.env.get(`DASHI_TEST_${name}_REASON`) ??
        "there is no broker",
    }
    : { url: adapt(url) };
}
