/** Tests on the server that all share, each with a prefix of its own. */

import { connect, type NatsConnection } from "@nats-io/transport-node";

/** The server that the tests share; `undefined` if there is none. */
export const url: string | undefined = Deno.env.get("DASHI_TEST_NATS_URL");
const reason = Deno.env.get("DASHI_TEST_NATS_REASON") ??
  "run it by deno task test, which provides NATS";

/** A test with a prefix of its own. */
export function testOwn(name: string, run: (own: Own) => Promise<void>): void {
  Deno.test({
    name: url === undefined ? `NATS: ${name} (${reason})` : `NATS: ${name}`,
    ignore: url === undefined,
    fn: async () => {
      const own = await Own.open(url ?? "");
      try {
        await run(own);
      } finally {
        await own.close();
      }
    },
  });
}

/** A prefix that nobody else uses, and NATS' own client beside it. */
export class Own {
  readonly prefix: string = `t${crypto.randomUUID().slice(0, 8)}`;
  readonly url: string;
  readonly raw: NatsConnection;

  /** Makes one, over a client that is connected. */
  private constructor(url: string, raw: NatsConnection) {
    this.url = `${url}/${this.prefix}`;
    this.raw = raw;
  }

  /** Connects. */
  static async open(url: string): Promise<Own> {
    return new Own(url, await connect({ servers: new URL(url).host }));
  }

  /** Asks JetStream's API. */
  async api(verb: string, body: unknown = {}): Promise<Answer> {
    const { raw } = this;
    const answer = await raw.request(`$JS.API.${verb}`, JSON.stringify(body), {
      timeout: 30_000,
    });
    return answer.json<Answer>();
  }

  /** Deletes what has the prefix. */
  async close(): Promise<void> {
    const { streams } = await this.api("STREAM.NAMES");
    for (const each of streams ?? []) {
      if (
        each.startsWith(`${this.prefix}_`) || each === `KV_${this.prefix}`
      ) await this.api(`STREAM.DELETE.${each}`);
    }
    await this.raw.close();
  }
}

/** What JetStream answers, as far as it is looked at. */
export interface Answer {
  readonly created?: string;
  readonly streams?: readonly string[];
  readonly config?: {
    readonly retention?: string;
    readonly subjects?: readonly string[];
    readonly metadata?: Readonly<Record<string, string>>;
  };
  readonly state?: { readonly messages: number };
  readonly message?: { readonly data: string; readonly hdrs?: string };
}
