/** In which order the runner takes the files of tests. */

/** Files that need no broker: they are run while brokers are installed and started. `tests/plan_test.ts` checks it. */
export const ALONE: readonly string[] = [
  "mod.ts",
  "README.md",
  "url",
  "virtual",
  "codec",
  "messaging",
  "transports",
  ...[
    "transports/memory/memory_test.ts",
    "examples",
    "transports/store/store_test.ts",
    "async",
    "codec",
    "model",
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
    "messaging/lazy_codec_test.ts",
    "messaging/mistakes_test.ts",
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
    "results_test.ts",
    "types_test.ts",
    "transports/memory/broker_test.ts",
    "transports/memory/copies_test.ts",
    "transports/memory/store_test.ts",
    "transports/records/layout_test.ts",
    "transports/records/records_test.ts",
    "transports/store/restartable_test.ts",
    "transports/store/ripener_test.ts",
    "transports/store/router_test.ts",
    "transports/store/connection_test.ts",
    "transports/store/consumers_test.ts",
    "transports/store/dead_letters_test.ts",
    "transports/store/known_queues_test.ts",
    "transports/store/leftovers_test.ts",
    "transports/store/leases_test.ts",
    "transports/store/limits_test.ts",
    "transports/store/quarantine_test.ts",
    "transports/store/settlements_test.ts",
    "transports/store/window_test.ts",
  ].map((path) => `tests/${path}`),
];

/** The slowest files, which begin first: short ones are left for the end, and no core waits for one long file. */
export const LONGEST: readonly string[] = [
  "transports/couchdb/couchdb_test.ts",
  "transports/mongodb/mongodb_test.ts",
  "transports/sqs/sqs_test.ts",
  "transports/amqp/amqp_test.ts",
  "transports/redis/redis_test.ts",
  "transports/amqp_client/amqp_client_test.ts",
  "transports/beanstalk/beanstalk_test.ts",
  "chaos/chaos_test.ts",
  "faults/killer_test.ts",
  "faults/memory_test.ts",
  "faults/recovery_test.ts",
  "faults/failover_test.ts",
  "transports/redis/faults_test.ts",
  "transports/redis/idle_test.ts",
  "transports/couchdb/broker_test.ts",
  "transports/redis/owners_test.ts",
  "transports/mongodb/claims_test.ts",
  "transports/redis/kills_test.ts",
  "transports/amqp/delay_test.ts",
  "transports/amqp/settings_test.ts",
  "interop/celery_test.ts",
  "secrets_test.ts",
  "transports/mongodb/tables_test.ts",
  "transports/redis/queues_test.ts",
  "transports/redis/sentinel_test.ts",
  "fuzz/fuzz_test.ts",
  "faults/process_test.ts",
  "transports/couchdb/tls_test.ts",
  "interop/sqs_test.ts",
  "transports/amqp/faults_test.ts",
].map((path) => `tests/${path}`);

/**
 * All the others, in order. They are named one by one: `deno test` looks for what it is to
 * leave out only where it is given folders alone.
 */
export function rest(root: URL): string[] {
  const known = new Set([...ALONE, ...LONGEST]);
  return [...LONGEST, ...testsIn("tests", root, known)];
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
