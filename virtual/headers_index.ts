import type { Binding } from "../model/binding.ts";
import type { FieldTable } from "../model/field_table.ts";
import { headerKey, matchHeaders, wantedHeaders } from "./headers.ts";

/** The bindings that want a header of one name. */
interface Bucket {
  /** Any value of it will do. */
  readonly anyValue: Set<Binding>;
  /** By the value that they want. */
  readonly byValue: Map<string, Set<Binding>>;
}

/** The header that a binding is found by; without a key, whatever its value. */
interface Place {
  readonly name: string;
  readonly key: string | undefined;
}

/**
 * The bindings of a headers exchange, found by the headers that they want: a binding that
 * wants all of its headers by one of them, the one that fewest others are found by, and a
 * binding that wants any of them by each. So the cost of a message grows with the bindings
 * that it may match, and not with all of them.
 */
export class HeadersIndex {
  readonly #buckets = new Map<string, Bucket>();
  readonly #places = new Map<Binding, readonly Place[]>();
  /** Bindings that want all of no headers: every message has them. */
  readonly #always = new Set<Binding>();
  /** Bindings that want more than the header that they are found by. */
  readonly #wantMore = new Set<Binding>();
  /** Bindings that may be found by several headers of a message. */
  readonly #foundOften = new Set<Binding>();

  /** Adds a binding that is not there. */
  add(binding: Binding): void {
    const { any, headers } = wantedHeaders(binding.arguments);
    const all = headers.map(([name, wanted]) => ({
      name,
      key: wanted === null ? undefined : headerKey(wanted),
    }));
    if (!any && all.length === 0) this.#always.add(binding);
    const places = any ? all : this.#rarest(all);
    if (all.length > 1) (any ? this.#foundOften : this.#wantMore).add(binding);
    this.#places.set(binding, places);
    for (const place of places) this.#sharing(place).add(binding);
  }

  /** Removes a binding that is there: the very object. */
  remove(binding: Binding): void {
    this.#always.delete(binding);
    this.#wantMore.delete(binding);
    this.#foundOften.delete(binding);
    for (const { name, key } of this.#places.get(binding) ?? []) {
      const bucket = this.#buckets.get(name);
      if (bucket === undefined) continue;
      const { anyValue, byValue } = bucket;
      const sharing = key === undefined ? anyValue : byValue.get(key);
      sharing?.delete(binding);
      if (key !== undefined && sharing?.size === 0) byValue.delete(key);
      if (anyValue.size === 0 && byValue.size === 0) this.#buckets.delete(name);
    }
    this.#places.delete(binding);
  }

  /** Calls `found` for each that matches. */
  match(
    _routingKey: string,
    headers: FieldTable | undefined,
    found: (binding: Binding) => void,
  ): void {
    for (const binding of this.#always) found(binding);
    if (headers === undefined) return;
    let seen: Set<Binding> | undefined;
    const look = (binding: Binding) => {
      if (this.#foundOften.has(binding)) {
        if (seen?.has(binding)) return;
        (seen ??= new Set()).add(binding);
      }
      // That it was found says that it has the one header which most bindings want.
      const isFound = !this.#wantMore.has(binding) ||
        matchHeaders(binding.arguments, headers);
      if (isFound) found(binding);
    };
    for (const name of Object.keys(headers)) {
      const [bucket, value] = [this.#buckets.get(name), headers[name]];
      if (bucket === undefined || value === undefined) continue;
      bucket.anyValue.forEach(look);
      if (bucket.byValue.size === 0) continue;
      bucket.byValue.get(headerKey(value))?.forEach(look);
    }
  }

  /** The place that fewest bindings are found by: among a thousand that want a format, the tenant tells more. */
  #rarest(places: readonly Place[]): readonly Place[] {
    let least = Infinity;
    let rarest: readonly Place[] = [];
    for (const place of places) {
      const { anyValue, byValue } = this.#buckets.get(place.name) ?? {};
      const size = place.key === undefined
        ? anyValue?.size
        : byValue?.get(place.key)?.size;
      // Any value of a header is met more often than one.
      const cost = (size ?? 0) + (place.key === undefined ? 1 : 0);
      if (cost < least) [least, rarest] = [cost, [place]];
    }
    return rarest;
  }

  #sharing({ name, key }: Place): Set<Binding> {
    let bucket = this.#buckets.get(name);
    if (bucket === undefined) {
      this.#buckets.set(
        name,
        bucket = { anyValue: new Set(), byValue: new Map() },
      );
    }
    if (key === undefined) return bucket.anyValue;
    let sharing = bucket.byValue.get(key);
    if (sharing === undefined) bucket.byValue.set(key, sharing = new Set());
    return sharing;
  }
}
