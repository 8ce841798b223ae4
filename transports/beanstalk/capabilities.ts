import type { Capability } from "../transport.ts";

/** What a beanstalkd can do; with a binlog it has persistence too. */
export const CAPABILITIES: readonly Capability[] = [
  "dead-letter",
  "delay",
  "exchange-to-exchange",
  "exclusive",
  "lease",
  "message-ttl",
  "priority",
  "queued-fanout",
];
