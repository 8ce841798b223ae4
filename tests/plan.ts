/** In which order the runner takes the files of tests. */

/** Those that need no broker: they are run while brokers are installed and started. `tests/plan_test.ts` checks it. */
export const ALONE: readonly string[] = [
  "mod.ts",
  "README.md",
  "url",
  "virtual",
  "codec",
  "messaging",
  "transports",
  ...[
    "transports/memory_test.ts",
    "examples",
    "transports/store_test.ts",
    "async",
    "codec",
    "model",
    "mutate",
    "url",
    "exports_test.ts",
    "messaging/at_exit_test.ts",
    "messaging/brake_test.ts",
    "messaging/compression_test.ts",
    "messaging/connection_test.ts",
    "messaging/declarations_test.ts",
    "messaging/endpoint_test.ts",
    "messaging/entities_test.ts",
    "messaging/failover_test.ts",
    "messaging/handler_retry_test.ts",
    "messaging/intake_queues_test.ts",
    "messaging/lane_test.ts",
    "messaging/lazy_codec_test.ts",
    "messaging/mistakes_test.ts",
    "messaging/pool_test.ts",
    "messaging/publish_window_test.ts",
    "messaging/publisher_test.ts",
    "messaging/queues_test.ts",
    "messaging/recovering_test.ts",
    "messaging/refused_publishes_test.ts",
    "messaging/republisher_test.ts",
    "messaging/runtime_test.ts",
    "messaging/session_test.ts",
    "messaging/session_errors_test.ts",
    "messaging/stream_position_test.ts",
    "messaging/surface_test.ts",
    "messaging/suspects_test.ts",
    "messaging/tls_choice_test.ts",
    "layers_test.ts",
    "lazy_clients_test.ts",
    "results_test.ts",
    "types_test.ts",
    "transports/memory_broker_test.ts",
    "transports/memory_copies_test.ts",
    "transports/memory_store_test.ts",
    "transports/records_layout_test.ts",
    "transports/records_test.ts",
    "transports/restartable_test.ts",
    "transports/ripener_test.ts",
    "transports/router_test.ts",
    "transports/store_connection_test.ts",
    "transports/store_consumers_test.ts",
    "transports/store_dead_letters_test.ts",
    "transports/store_kombu_pattern_test.ts",
    "transports/store_known_queues_test.ts",
    "transports/store_leftovers_test.ts",
    "transports/store_leases_test.ts",
    "transports/store_limits_test.ts",
    "transports/store_quarantine_test.ts",
    "transports/store_settlements_test.ts",
    "transports/store_window_test.ts",
  ].map((path) => `tests/${path}`),
];

/** Those that take longest, which begin first: what is left at the end is short, and no core waits for one long file. */
export const LONGEST: readonly string[] = [
  "transports/couchdb_test.ts",
  "transports/mongodb_test.ts",
  "transports/sqs_test.ts",
  "transports/amqp_test.ts",
  "transports/redis_test.ts",
  "transports/amqp_client_test.ts",
  "transports/beanstalk_test.ts",
  "chaos/chaos_test.ts",
  "faults/killer_test.ts",
  "faults/memory_test.ts",
  "faults/recovery_test.ts",
  "faults/failover_test.ts",
  "transports/redis_faults_test.ts",
  "transports/redis_idle_test.ts",
  "transports/couchdb_broker_test.ts",
  "transports/redis_owners_test.ts",
  "transports/mongodb_claims_test.ts",
  "transports/redis_kills_test.ts",
  "transports/amqp_delay_test.ts",
  "transports/amqp_settings_test.ts",
  "interop/celery_test.ts",
  "secrets_test.ts",
  "transports/mongodb_tables_test.ts",
  "transports/redis_queues_test.ts",
  "transports/redis_sentinel_test.ts",
  "fuzz/fuzz_test.ts",
  "faults/process_test.ts",
  "transports/couchdb_tls_test.ts",
  "interop/sqs_test.ts",
  "transports/amqp_faults_test.ts",
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
