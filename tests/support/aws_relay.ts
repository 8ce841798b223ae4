/** An HTTP relay between the AWS SDK and a stand-in for SQS and SNS, on loopback: it notes what is asked, and may answer itself. */

import { arrives } from "../conformance/support.ts";

/** How long a request is waited for, ms: one that does not come is to end its test. */
const MAX_WAIT = 60_000;

/** How long answers that are held up have when all is over, ms. */
const LAST_WAIT = 5000;

/** A request to AWS. */
export interface AwsRequest {
  /** `SendMessageBatch`, `Subscribe`. */
  readonly action: string;
  /** SQS's parameters; of SNS, those of the form. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The id of the key that signs it. */
  readonly key: string;
  /** For which region. */
  readonly region: string;
  readonly token: string | undefined;
}

/** Answers a request in the server's place, or lets it through. */
export type Intercept = (
  request: AwsRequest,
) => Response | undefined | Promise<Response | undefined>;

/** A relay that is listening. */
export class AwsRelay implements AsyncDisposable {
  /** All requests so far. */
  readonly requests: AwsRequest[] = [];
  /** Asked first. */
  intercept: Intercept = () => undefined;
  /** How far its clock is ahead of ours, ms: AWS refuses what is signed five minutes off, and tells its time. */
  skew = 0;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #stop = new AbortController();
  /** Cuts off who does not end. */
  readonly #end = new AbortController();
  /** Ends who holds a request. */
  readonly #stopped: Promise<undefined>;
  readonly #target: string;
  #waiting: (() => void)[] = [];

  /** Listens on a free port, and passes all on to where a URL leads. */
  constructor(url: string) {
    this.#stopped = new Promise((resolve) => {
      this.#stop.signal.addEventListener("abort", () => resolve(undefined));
    });
    this.#target = `http://${new URL(url.replace(/^\w+:/, "http:")).host}/`;
    this.#server = Deno.serve(
      {
        hostname: "127.0.0.1",
        port: 0,
        onListen() {},
        signal: this.#end.signal,
      },
      (request) => this.#relay(request),
    );
  }

  /** The URL that leads through it. */
  urlOf(query = "", key = "key"): string {
    return `sqs://${key}:secret@127.0.0.1:${this.#server.addr.port}/${query}`;
  }

  /** The names of all that was asked, each once. */
  get actions(): readonly string[] {
    return [...new Set(this.requests.map(({ action }) => action))].sort();
  }

  /** Returns the requests of one action. */
  of(action: string): readonly AwsRequest[] {
    return this.requests.filter((each) => each.action === action);
  }

  /** The parameters of the first request by one name. */
  first(action: string): AwsRequest["body"] {
    return this.of(action)[0]?.body ?? {};
  }

  /** Waits until an action was asked for so many times. */
  async until(action: string, count: number): Promise<void> {
    while (this.of(action).length < count) {
      await arrives(
        new Promise<void>((done) => this.#waiting.push(done)),
        `another "${action}"`,
        MAX_WAIT,
      );
    }
  }

  async #relay(request: Request): Promise<Response> {
    const text = await request.text();
    const asked = requestOf(request.headers, text);
    this.requests.push(asked);
    for (const done of this.#waiting.splice(0)) done();
    if (this.#isSkewed(request.headers)) {
      return this.#dated(refusalFor(asked, 403, "InvalidSignatureException"));
    }
    const answer = await Promise.race([this.intercept(asked), this.#stopped]);
    if (answer !== undefined) return answer;
    const headers = new Headers(request.headers);
    headers.delete("host");
    try {
      return this.#dated(
        await fetch(this.#target, {
          method: "POST",
          headers,
          body: text,
          signal: this.#stop.signal,
        }),
      );
    } catch {
      return new Response(null, { status: 503 });
    }
  }

  #isSkewed(headers: Headers): boolean {
    const [, day, time] = /^(\d{8})T(\d{6})Z$/.exec(
      headers.get("x-amz-date") ?? "",
    ) ?? [];
    if (this.skew === 0 || day === undefined || time === undefined) {
      return false;
    }
    const signed = Date.parse(
      `${day.replace(/(....)(..)(..)/, "$1-$2-$3")}T${
        time.replace(/(..)(..)(..)/, "$1:$2:$3")
      }Z`,
    );
    return Math.abs(Date.now() + this.skew - signed) > 300_000;
  }

  #dated(answer: Response): Response {
    if (this.skew === 0) return answer;
    const headers = new Headers(answer.headers);
    headers.set("date", new Date(Date.now() + this.skew).toUTCString());
    return new Response(answer.body, { status: answer.status, headers });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    // A held-up answer delays this for no longer than a moment.
    await arrives(this.#server.shutdown(), "its end", LAST_WAIT)
      .catch(() => this.#end.abort());
  }
}

function requestOf(headers: Headers, text: string): AwsRequest {
  const target = headers.get("x-amz-target");
  const credential = /Credential=([^/]+)\/\d+\/([^/]+)/.exec(
    headers.get("authorization") ?? "",
  );
  const form = Object.fromEntries(new URLSearchParams(text));
  return {
    action: target?.replace("AmazonSQS.", "") ?? form.Action ?? "",
    body: target === null ? form : JSON.parse(text),
    key: credential?.[1] ?? "",
    region: credential?.[2] ?? "",
    token: headers.get("x-amz-security-token") ?? undefined,
  };
}

/** Answers as SQS, or SNS, does when it refuses. */
function refusalFor(
  { body: { Action } }: AwsRequest,
  status: number,
  code: string,
): Response {
  if (Action === undefined) return refusal(status, code);
  return new Response(
    `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${code}</Message></Error><RequestId>r</RequestId></ErrorResponse>`,
    { status, headers: { "content-type": "text/xml" } },
  );
}

/** Answers as SQS does when it refuses. */
export function refusal(
  status: number,
  code: string,
  message: string = code,
): Response {
  return Response.json({ __type: `com.amazonaws.sqs#${code}`, message }, {
    status,
    headers: { "content-type": "application/x-amz-json-1.0" },
  });
}
