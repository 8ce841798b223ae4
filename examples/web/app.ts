/** The server's answers, apart from the port: so a test can ask without one. */

import { type Connection, MessagingError } from "@dashi/mq";
import { type Job, pictures } from "./jobs.ts";

/** Makes the handler of requests. */
export function createApp(
  connection: Connection,
): (request: Request) => Promise<Response> {
  const producer = connection.producer({ queue: pictures });
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname === "/ready") {
      const { ready, reason } = connection.health();
      return new Response(reason, { status: ready ? 200 : 503 });
    }
    if (request.method !== "POST") return new Response(null, { status: 405 });
    const job = readJob(await request.json().catch(() => undefined));
    if (job === undefined) return new Response(null, { status: 400 });
    try {
      await producer.publish(job, { timeout: 2000 });
    } catch (error) {
      if (!(error instanceof MessagingError)) throw error;
      return new Response(error.message, { status: 503 });
    }
    return new Response(null, { status: 202 }); // the broker has the job
  };
}

function readJob(value: unknown): Job | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { picture, width } = value as Partial<Job>;
  return typeof picture === "string" && typeof width === "number"
    ? { picture, width }
    : undefined;
}
