/** Which files of tests the runner takes together. */

/** Files that need no broker: they are run while brokers are installed and started. `tests/plan_test.ts` checks it. */
export const ALONE: readonly string[] = [
  "mod.ts",
  "README.md",
  "docs",
  "model",
  "cli",
  "url",
  "virtual",
  "codec",
  "messaging",
  "telemetry",
  "testing",
  "transports",
  ...[
    "transports/memory/memory_test.ts",
    "examples/demo_test.ts",
    "examples/folder_transport_test.ts",
    "examples/kv_transport_test.ts",
    "transports/store/store_test.ts",
    "async",
    "codec",
    "model",
    "testing",
    "mutate",
    "url",
    "exports_test.ts",
    "messaging/connection/at_exit_test.ts",
    "messaging/connection/flap_backoff_test.ts",
    "messaging/compression_test.ts",
    "messaging/connection/connection_health_test.ts",
    "messaging/connection/connection_test.ts",
    "messaging/connection/declarations_test.ts",
    "messaging/connection/endpoint_test.ts",
    "messaging/entities/entities_test.ts",
    "messaging/connection/failover_test.ts",
    "messaging/consume/failure_headers_test.ts",
    "messaging/consume/handler_retry_test.ts",
    "messaging/consume/consumed_queues_test.ts",
    "messaging/consume/lane_test.ts",
    "messaging/consume/message_text_test.ts",
    "messaging/lazy_codec_test.ts",
    "messaging/mistakes_test.ts",
    "messaging/inbox/leased_inbox_test.ts",
    "messaging/connection/pool_test.ts",
    "messaging/publish/publish_window_test.ts",
    "messaging/publish/publisher_test.ts",
    "messaging/queues_test.ts",
    "messaging/recovering_test.ts",
    "messaging/publish/refused_publishes_test.ts",
    "messaging/publish/republisher_test.ts",
    "messaging/connection/runtime_test.ts",
    "messaging/connection/session_test.ts",
    "messaging/connection/session_errors_test.ts",
    "messaging/consume/run_options_test.ts",
    "messaging/consume/stream_position_test.ts",
    "messaging/surface_test.ts",
    "messaging/consume/suspects_test.ts",
    "messaging/connection/tls_choice_test.ts",
    "layers_test.ts",
    "lazy_clients_test.ts",
    "compare",
    "docs",
    "conformance/killed.ts",
    "conformance/mod.ts",
    "results_test.ts",
    "support/shared_restart_test.ts",
    "types_test.ts",
    "transports/memory/broker_test.ts",
    "transports/memory/copies_test.ts",
    "transports/memory/store_test.ts",
    "transports/records/layout_test.ts",
    "transports/records/records_test.ts",
    "transports/store/restartable_test.ts",
    "transports/store/ripener_test.ts",
    "transports/store/router_test.ts",
    "transports/store/capabilities_test.ts",
    "transports/store/connection_test.ts",
    "transports/store/consumers_test.ts",
    "transports/store/dead_letters_test.ts",
    "transports/store/delayed_pages_test.ts",
    "transports/store/inspection_test.ts",
    "transports/store/known_queues_test.ts",
    "transports/store/leftovers_test.ts",
    "transports/store/leases_test.ts",
    "transports/store/limits_test.ts",
    "transports/store/quarantine_test.ts",
    "transports/store/settlements_test.ts",
    "transports/store/window_test.ts",
    "messaging/failed_messages_test.ts",
    "messaging/first_hour_closing_test.ts",
    "messaging/consume/batches_test.ts",
    "messaging/consume/breaker_test.ts",
    "messaging/consume/getter_test.ts",
    "messaging/consume/outcomes_test.ts",
    "messaging/consume/reading_test.ts",
    "messaging/consume/ordered_test.ts",
    "messaging/consume/runner_test.ts",
    "messaging/consume/simple_queue_test.ts",
    "messaging/publish/key_test.ts",
    "messaging/publish/publish_all_test.ts",
    "messaging/reply/requester_test.ts",
    "messaging/connection/blocking_test.ts",
    "messaging/connection/later_declares_test.ts",
    "messaging/connection/loop_watch_test.ts",
    "messaging/connection/own_channel_test.ts",
    "messaging/connection/retry_test.ts",
    "messaging/connection/topology_channel_test.ts",
    "messaging/connection/dialler_test.ts",
    "messaging/consume/intake_test.ts",
    "messaging/connection/unhandled_test.ts",
    "transports/memory/lanes_test.ts",
    "transports/memory/level_test.ts",
    "transports/memory/queue_test.ts",
    "transports/records/limits_test.ts",
    "transports/records/tables_test.ts",
    "transports/store/declarer_test.ts",
    "transports/store/envelope_test.ts",
    "transports/store/lifeline_test.ts",
    "transports/store/local_topology_test.ts",
    "transports/store/notifier_test.ts",
    "virtual/declare_test.ts",
    "virtual/failed_queue_test.ts",
    "virtual/headers_index_test.ts",
    "virtual/message_key_test.ts",
    "virtual/queue_traits_test.ts",
    "virtual/removal_test.ts",
    "virtual/route_test.ts",
    "virtual/topic_test.ts",
  ].map((path) => `tests/${path}`),
];

/**
 * The suites of the brokers, which wait longest and begin first: no core waits for one of them at the end.
 * `deno test` takes what it is given in an order of its own, so that they are run by themselves.
 */
export const LONGEST: readonly string[] = [
  "couchdb/couchdb",
  "mongodb/mongodb",
  "postgres/postgres",
  "amqp/amqp",
  "sqs/sqs",
  "redis/redis",
  "nats/nats",
  "amqp_client/amqp_client",
  "beanstalk/beanstalk",
  "sqlite/sqlite",
].map((name) => `tests/transports/${name}_test.ts`);

/**
 * All the others, in order. They are named one by one: `deno test` looks for what it is to
 * leave out only where it is given folders alone.
 */
export function rest(root: URL): string[] {
  return [...testsIn("tests", root, new Set([...ALONE, ...LONGEST]))];
}

/** The files of tests in a folder that are not known, nor in a folder that is. */
function* testsIn(
  folder: string,
  root: URL,
  known: ReadonlySet<string>,
): Iterable<string> {
  const entries = [...Deno.readDirSync(new URL(folder, root))]
    .sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name, isDirectory } of entries) {
    const path = `${folder}/${name}`;
    if (known.has(path)) continue;
    if (isDirectory) yield* testsIn(path, root, known);
    else if (name.endsWith("_test.ts")) yield path;
  }
}
