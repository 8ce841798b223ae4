import { assert, assertEquals } from "@std/assert";
import type { ValueType } from "./conventions.ts";

/** An attribute, in OTLP's JSON. */
export interface Attribute {
  readonly key: string;
  readonly value: Partial<
    Record<ValueType | "doubleValue", string | number | boolean>
  >;
}

/** A span, in OTLP's JSON. */
export interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly attributes: readonly Attribute[];
  readonly links?: readonly {
    readonly traceId: string;
    readonly spanId: string;
  }[];
  readonly status?: { readonly code?: number; readonly message?: string };
}

/** The numbers of a metric, in OTLP's JSON. */
export interface Numbers {
  readonly isMonotonic?: boolean;
  readonly dataPoints: readonly {
    readonly attributes: readonly Attribute[];
    readonly explicitBounds?: readonly number[];
    readonly count?: string | number;
    readonly asInt?: string | number;
    readonly asDouble?: number;
  }[];
}

/** A metric, in OTLP's JSON. */
export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly histogram?: Numbers;
  readonly sum?: Numbers;
  readonly gauge?: Numbers;
}

/** Scopes, as both signals have them. */
interface Scope {
  readonly scope: { readonly name: string; readonly version?: string };
  readonly schemaUrl?: string;
  readonly spans?: readonly Span[];
  readonly metrics?: readonly Metric[];
}

/** A collector of OTLP by HTTP and JSON on loopback, which keeps what the library has told. */
export class Collector implements AsyncDisposable {
  readonly spans: Span[] = [];
  /** The last export of each. */
  readonly metrics: Map<string, Metric> = new Map();
  /** All that came, as it came. */
  readonly texts: string[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #isAll: (metrics: ReadonlyMap<string, Metric>) => boolean;
  readonly #came = Promise.withResolvers<void>();

  /** Makes one whose `/wait` answers when all metrics have come: a program that ends flushes its spans alone. */
  constructor(isAll: (metrics: ReadonlyMap<string, Metric>) => boolean) {
    this.#isAll = isAll;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#answer(request),
    );
  }

  /** Its address. */
  get url(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** Ends it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#came.resolve();
    await this.#server.shutdown();
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    if (pathname === "/wait") {
      await this.#came.promise;
      return new Response();
    }
    const text = await request.text();
    if (pathname === "/v1/traces" || pathname === "/v1/metrics") {
      assertEquals(request.headers.get("content-type"), "application/json");
      this.texts.push(text);
      this.#take(JSON.parse(text));
    }
    return Response.json({});
  }

  #take(
    { resourceSpans = [], resourceMetrics = [] }: {
      resourceSpans?: { scopeSpans: Scope[] }[];
      resourceMetrics?: { scopeMetrics: Scope[] }[];
    },
  ): void {
    const scopes = [
      ...resourceSpans.flatMap(({ scopeSpans }) => scopeSpans),
      ...resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics),
    ];
    for (const { scope, spans = [], metrics = [] } of scopes) {
      if (scope.name !== "@dashi/mq") continue;
      assert(scope.version);
      this.spans.push(...spans);
      for (const each of metrics) this.metrics.set(each.name, each);
      if (this.#isAll(this.metrics)) this.#came.resolve();
    }
  }
}

/** The values of attributes, by their names. */
export function valuesOf(
  attributes: readonly Attribute[],
): Record<string, string | number | boolean | undefined> {
  return Object.fromEntries(
    attributes.map(({ key, value }) => [key, Object.values(value)[0]]),
  );
}
