import type {
  BroadcastStore,
  InspectionStore,
  MessageStore,
  PresenceStore,
  QuarantineStore,
  QueueStore,
  Rates,
  Store,
  StoreLimits,
  TopologyStore,
} from "../../transports/store/mod.ts";

/** The parts of a store. */
export interface Parts {
  readonly messages: MessageStore;
  readonly queues: QueueStore;
  readonly topology: TopologyStore;
  readonly presence: PresenceStore;
  readonly broadcasts: BroadcastStore;
  readonly quarantine: QuarantineStore;
  readonly rates: Rates;
  readonly inspection: InspectionStore;
}

/** A verb of a part, as `messages.put`. */
export type Verb = {
  [P in keyof Parts]: `${P}.${Extract<keyof Parts[P], string>}`;
}[keyof Parts];

/** The changes to a store: verbs of its parts, or its limits. */
export type PartChanges =
  & { readonly [P in keyof Parts]?: Partial<Parts[P]> }
  & { readonly limits?: StoreLimits };

/** Hears of each call of a verb, and passes it on or not. */
export type Interceptor = (verb: string, call: () => unknown) => unknown;

const PASS: Interceptor = (_, call) => call();

/** Puts a store into one some of whose verbs are others, and whose calls are intercepted. */
export function withParts(
  store: Store,
  changes: PartChanges,
  intercept: Interceptor = PASS,
): Store {
  const made = new Map<unknown, unknown>();
  const over = (name: string, part: object, changed: object): object =>
    new Proxy(part, {
      get: (target, key) => {
        const of = Object.hasOwn(changed, key) ? changed : target;
        const value: unknown = Reflect.get(of, key, of);
        if (typeof value !== "function") return value;
        return (...given: unknown[]) =>
          intercept(
            `${name}.${String(key)}`,
            () => value.apply(of, given),
          );
      },
    });
  return new Proxy(store, {
    get: (target, key) => {
      const value: unknown = Reflect.get(target, key, target);
      const changed: unknown = Reflect.get(changes, key);
      if (key === "limits") return changed ?? value;
      if (typeof value === "function") {
        return (...given: unknown[]) =>
          intercept(String(key), () => value.apply(target, given));
      }
      if (!isPart(key) || typeof value !== "object" || value === null) {
        return value;
      }
      const known = made.get(key);
      if (known !== undefined) return known;
      const part = over(
        key,
        value,
        typeof changed === "object" ? changed ?? {} : {},
      );
      made.set(key, part);
      return part;
    },
  });
}

const PARTS: readonly string[] = [
  "messages",
  "queues",
  "topology",
  "presence",
  "broadcasts",
  "quarantine",
  "rates",
  "inspection",
] satisfies readonly (keyof Parts)[];

function isPart(key: string | symbol): key is keyof Parts {
  return typeof key === "string" && PARTS.includes(key);
}

/** Whether a store, changed so, has a verb. */
export function hasVerb(
  store: Store,
  verb: Verb,
  changes: PartChanges = {},
): boolean {
  const [part, name] = verb.split(".");
  for (const owner of [changes, store]) {
    const found: unknown = Reflect.get(owner, part ?? "");
    if (typeof found !== "object" || found === null) continue;
    if (Reflect.get(found, name ?? "") !== undefined) return true;
  }
  return false;
}
