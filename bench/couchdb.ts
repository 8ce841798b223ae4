/** Publish and consume with ack on CouchDB, beside bulk requests by `fetch` alone. */

import { createConnection, Queue } from "@dashi/mq";
import { compare, rate } from "./measure.ts";
import { BODY, publishRate } from "./publish.ts";

const BATCH = 500;

/** Compares both at a URL. */
export async function benchCouchdb(url: string): Promise<void> {
  const name = `bench-${crypto.randomUUID()}`;
  const queue = new Queue(name);
  await using connection = createConnection(url);
  const producer = connection.producer({ declare: [queue] });
  await connection.declare(queue);
  const channel = await connection.channel();
  const raw = rawClient(url);
  const envelope = `{"body": "${BODY.toBase64()}"}`;
  let prefix = 0;

  const rawPublish = async (count: number) => {
    const began = performance.now();
    const run = ++prefix;
    for (let i = 0; i < count; i += BATCH) {
      await raw("/_bulk_docs", {
        docs: Array.from({ length: Math.min(BATCH, count - i) }, (_, j) => ({
          _id: `raw/${name}/${String(run)}/${String(i + j).padStart(9, "0")}`,
          envelope,
        })),
      });
    }
    return rate(count, began);
  };
  const ourPublish = (count: number) =>
    publishRate(producer, count, { routingKey: name }, BATCH);
  /** Reads, writes a holder, removes: what a claim by revision takes at least. */
  const rawConsume = async (count: number) => {
    await rawPublish(count);
    const began = performance.now();
    for (let done = 0; done < count;) {
      const [start, end] = [`raw/${name}/`, `raw/${name}0`];
      const { rows } = await raw(
        `/_all_docs?include_docs=true&limit=${BATCH}&startkey=${
          encodeURIComponent(JSON.stringify(start))
        }&endkey=${encodeURIComponent(JSON.stringify(end))}`,
      );
      const docs = rows.map((row: { doc: object }) => ({
        ...row.doc,
        holder: "me",
      }));
      const claimed = await raw("/_bulk_docs", { docs });
      await raw("/_bulk_docs", {
        docs: claimed.map(({ id, rev }: { id: string; rev: string }) => ({
          _id: id,
          _rev: rev,
          _deleted: true,
        })),
      });
      done += rows.length;
    }
    return rate(count, began);
  };
  const ourConsume = async (count: number) => {
    await channel.purgeQueue(name);
    await ourPublish(count);
    await using consumer = connection.consumer(name, { prefetch: BATCH });
    let seen = 0;
    const began = performance.now();
    for await (const message of consumer) {
      void message.ack();
      if (++seen === count) break;
    }
    return rate(count, began);
  };
  const options = { count: 2000, rounds: 7 };
  await compare("CouchDB: publish 1 KiB", [
    { name: `fetch, bulks of ${BATCH}`, run: rawPublish },
    { name: "dashi", run: ourPublish },
  ], options);
  await compare("CouchDB: consume 1 KiB with ack", [
    { name: `fetch, bulks of ${BATCH}`, run: rawConsume },
    { name: "dashi, for await", run: ourConsume },
  ], options);
  await channel.deleteQueue(name);
}

/** Requests to the same database. */
function rawClient(url: string) {
  const { username, password, host, pathname } = new URL(
    url.replace(/^couchdb/, "http"),
  );
  const headers = {
    authorization: `Basic ${btoa(`${username}:${password}`)}`,
    "content-type": "application/json",
  };
  return async (path: string, body?: unknown) => {
    const response = await fetch(`http://${host}${pathname}${path}`, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? null : JSON.stringify(body),
    });
    return await response.json();
  };
}
