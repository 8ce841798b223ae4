import type { CodecRegistry } from "../../codec/mod.ts";
import type { Session } from "../connection/session.ts";
import type { Decoding } from "../consume/reading.ts";
import type { MessagePublisher } from "../publish/publish_call.ts";
import type { SessionPublisher } from "../publish/publisher.ts";
import type { RequestOptions } from "../reply/request_options.ts";

/** The services of a connection that its schedules use. */
export interface ScheduleHost {
  readonly session: Session;
  readonly decoding: Decoding;
  readonly codecs: CodecRegistry;
  readonly publisher: SessionPublisher;
  /** Publishes ticks. */
  readonly ticks: MessagePublisher;
  readonly counts: { published: number; failures: number };
  request<A>(payload: unknown, options: RequestOptions<A>): Promise<A>;
}
