/**
 * Brokers in this process: for tests, for the parts of one program, and as the
 * reference for what a store must do. Nothing is written anywhere, nothing
 * crosses the process's border, and no permission is needed.
 *
 * URL: `memory://[name][/virtual-host]`. `memory://` is one broker for the whole
 * process, `memory://name` is another, and so is each virtual host of it. A
 * broker lasts as long as the process. It takes no parameters.
 *
 * Capabilities: all but `lease` and `persistence`: what is unsettled stays with
 * its connection however long that lives, and durable queues are gone with the
 * process like all others. Expired messages are moved when somebody looks: a consumer or a
 * `get` anywhere on the broker, or a count of the queue.
 *
 * @example Connect
 * ```ts
 * import { createConnection } from "@dashi/mq";
 *
 * await using connection = createConnection("memory://example");
 * await connection.connect();
 * ```
 *
 * @module
 */

export { createTransport } from "./transport.ts";
export type * from "../transport.ts";
