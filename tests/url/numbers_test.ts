/** The numbers among the options of all transports. */

import { assert } from "@std/assert";
import type { OptionReader } from "../../url/options.ts";
import { AMQP_OPTIONS } from "../../transports/amqp_protocol/options.ts";
import { AMQP_CLIENT_OPTIONS } from "../../transports/amqp_client/options.ts";
import { BEANSTALK_OPTIONS } from "../../transports/beanstalk/options.ts";
import { COUCHDB_OPTIONS } from "../../transports/couchdb/options.ts";
import { MONGODB_OPTIONS } from "../../transports/mongodb/options.ts";
import { NATS_OPTIONS } from "../../transports/nats/options.ts";
import { POSTGRES_OPTIONS } from "../../transports/postgres/options.ts";
import { REDIS_OPTIONS } from "../../transports/redis/options.ts";
import { SQLITE_OPTIONS } from "../../transports/sqlite/options.ts";
import { SQS_OPTIONS } from "../../transports/sqs/options.ts";

for (
  const [transport, readers] of Object.entries<object>({
    amqp: AMQP_OPTIONS,
    amqp_client: AMQP_CLIENT_OPTIONS,
    beanstalk: BEANSTALK_OPTIONS,
    couchdb: COUCHDB_OPTIONS,
    mongodb: MONGODB_OPTIONS,
    nats: NATS_OPTIONS,
    postgres: POSTGRES_OPTIONS,
    redis: REDIS_OPTIONS,
    sqlite: SQLITE_OPTIONS,
    sqs: SQS_OPTIONS,
  })
) {
  Deno.test(`${transport}: an option takes no number that is out of range, and names itself`, () => {
    for (
      const [name, { fromObject }] of Object.entries<OptionReader<unknown>>(
        { ...readers },
      )
    ) {
      for (const value of [NaN, -1, Infinity, 1e300]) {
        let message = "";
        try {
          fromObject(name, value);
        } catch (error) {
          message = error instanceof TypeError ? error.message : String(error);
        }
        assert(message.includes(name), `${name} ${value}: ${message}`);
      }
    }
  });
}
