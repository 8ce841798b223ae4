import { parseJson, stringifyJson } from "../../../codec/mod.ts";
import type { Binding } from "../../../model/binding.ts";
import type { QueueDeclaration } from "../../../model/queue.ts";
import {
  type ConsumerRecord,
  foreignQueue,
  type TopologyChange,
} from "../../../virtual/topology.ts";
import type { SetBinding } from "./binding_set.ts";
import { formatPattern } from "../../../virtual/topic.ts";
import type { Layout, Member } from "../layout.ts";

/** The fields and members that are to be written. */
export interface Writes {
  /** Fields of the hash, and their values; an empty one goes. */
  readonly fields: readonly (readonly [field: string, value: string])[];
  /** Exchanges and members of their sets. */
  readonly added: readonly (readonly [exchange: string, member: string])[];
  /** Exchanges and members of their sets. */
  readonly removed: readonly (readonly [exchange: string, member: string])[];
  /** Exchanges whose sets go as a whole. */
  readonly emptied: readonly string[];
  /** Fields that hold lists, and what is added to each: entries, with commas between. */
  readonly joined: readonly (readonly [field: string, entries: string])[];
  /** Fields that hold lists of consumers, and an entry that goes from each. */
  readonly left: readonly (readonly [field: string, entry: string])[];
  /** Whether no route is another: consumers alone come and go. */
  readonly isQuiet: boolean;
  /** The fields of the hash that the plan rests on; none if it rests on all. */
  readonly rests: readonly string[];
}

/** The value of a queue's field in the shared hash. */
export interface QueueField {
  readonly queue: QueueDeclaration;
  readonly owner: string | undefined;
  readonly foreign?: boolean;
}

/** The state that the plan is made on. */
export interface Present {
  readonly layout: Layout;
  /** Whether our consumers take from lists alone, and say so. */
  readonly takesLists: boolean;
  /** The value of a field of the hash; empty if there is none. */
  field(name: string): string;
  /** The type of an exchange, if it is known. */
  typeOf(exchange: string): string | undefined;
  /** Whether a queue goes with its last consumer. */
  isAutoDelete(queue: string): boolean;
  /** Whether a queue is one that ours have declared. */
  isDeclared(queue: string): boolean;
  /** How many bindings lead from an exchange to a queue. */
  count(exchange: string, queue: string): number;
  /** The members of an exchange's set that are a binding. */
  members(exchange: string, binding: SetBinding): Iterable<string>;
}

/** Works out the writes for planned changes. */
export function planWrites(
  planned: readonly TopologyChange[],
  present: Present,
): Writes {
  const changes = withQueues(planned, present);
  const fields = new Map<string, string>();
  const added: [string, string][] = [];
  const removed: [string, string][] = [];
  const lists = new Lists(present);
  const crowd = new Crowd(present, changes);
  /** Of exchanges that the same changes declare. */
  const types = new Map<string, string>();
  const deleted = new Set(
    changes.flatMap((each) =>
      each.type === "exchange-deleted" ? each.name : []
    ),
  );
  /** Exchanges that lose a binding: what they win is written with what is left. */
  const losing = new Set(
    changes.flatMap((each) =>
      each.type === "unbound" ? each.binding.source : []
    ),
  );
  /** How many bindings go, by queue and by exchange. */
  const going = new Map<string, Map<string, number>>();
  for (const change of changes) {
    switch (change.type) {
      case "exchange-declared":
        types.set(change.exchange.name, change.exchange.type);
        fields.set(`exchange ${change.exchange.name}`, write(change.exchange));
        break;
      case "exchange-deleted":
        fields.set(`exchange ${change.name}`, "");
        break;
      case "queue-declared": {
        const { queue, owner, foreign } = change;
        // Noted where it is so: others are to know it too.
        // Its own name comes first: scripts look for it there.
        const id = crypto.randomUUID().slice(0, 8);
        const value = foreign
          ? { id, queue, owner, foreign }
          : { id, queue, owner };
        fields.set(`queue ${queue.name}`, write(value));
        break;
      }
      case "queue-deleted":
        fields.set(`queue ${change.name}`, "");
        lists.clear(`consumers ${change.name}`);
        lists.clear(`sources ${change.name}`);
        break;
      case "consumer-added": {
        const { queue, consumer } = change;
        const field = `consumers ${queue}`;
        const entry = present.takesLists ? { ...consumer, ...LISTS } : consumer;
        if (consumer.exclusive) lists.add(field, entry);
        else crowd.join(field, write(entry));
        break;
      }
      case "consumer-removed": {
        const field = `consumers ${change.queue}`;
        const entry = write(change.consumer);
        if (!crowd.leave(field, entry)) lists.remove(field, change.consumer);
        break;
      }
      case "bound": {
        const { source, destination } = change.binding;
        const type = types.get(source) ?? present.typeOf(source);
        if (isKombus(change.binding, type, present.layout)) {
          const member = memberOf(change.binding, type);
          added.push([source, present.layout.formatMember(member)]);
        } else if (losing.has(source)) {
          lists.add(`bindings ${source}`, change.binding);
        } else crowd.join(`bindings ${source}`, write(change.binding));
        if (destination.kind === "queue") {
          lists.add(`sources ${destination.name}`, source);
        }
        break;
      }
      case "unbound": {
        const { source, destination, routingKey } = change.binding;
        const queue = destination.name;
        if (destination.kind === "queue") {
          const from = going.get(queue) ?? new Map<string, number>();
          going.set(queue, from.set(source, (from.get(source) ?? 0) + 1));
        }
        if (deleted.has(source)) {
          lists.clear(`bindings ${source}`);
          break;
        }
        const type = present.typeOf(source);
        if (isKombus(change.binding, type, present.layout)) {
          for (const text of present.members(source, { routingKey, queue })) {
            removed.push([source, text]);
          }
        } else lists.remove(`bindings ${source}`, change.binding);
        break;
      }
    }
  }
  for (const [queue, sources] of going) {
    for (const [source, count] of sources) {
      if (count < present.count(source, queue)) continue;
      lists.remove(`sources ${queue}`, source);
    }
  }
  for (const [field, value] of lists.changed()) fields.set(field, value);
  return {
    fields: [...fields],
    added,
    removed,
    emptied: [...deleted],
    joined: crowd.joined(),
    left: crowd.left,
    isQuiet: changes.every((each) => isQuiet(each, present)),
    rests: restsOf(changes, fields.keys(), present),
  };
}

/** A queue that we only know to be there is noted with its first consumer: others are to know it, too. */
function withQueues(
  changes: readonly TopologyChange[],
  present: Present,
): readonly TopologyChange[] {
  return changes.flatMap((change) => {
    if (change.type !== "consumer-added") return [change];
    const { queue: name } = change;
    const isNoted = present.field(`queue ${name}`) !== "" ||
      changes.some((each) =>
        each.type === "queue-declared" && each.queue.name === name
      );
    return isNoted ? [change] : [foreignQueue(name), change];
  });
}

/**
 * Whether a change leaves all routes as they are. A fanout exchange puts into a queue of
 * somebody else's while one of ours consumes from it, and leaves a queue to a consumer that
 * listens by itself.
 */
function isQuiet(change: TopologyChange, present: Present): boolean {
  switch (change.type) {
    case "consumer-added":
      return present.takesLists && present.isDeclared(change.queue);
    case "consumer-removed":
      return !listens(change.consumer) && present.isDeclared(change.queue);
    default:
      return false;
  }
}

/** A removal may take more with it, so it depends on everything that is declared; that of a queue without bindings does not. */
function restsOf(
  changes: readonly TopologyChange[],
  written: Iterable<string>,
  present: Present,
): readonly string[] {
  const rests = new Set(written);
  for (const change of changes) {
    switch (change.type) {
      case "exchange-declared":
      case "queue-declared":
        break;
      case "consumer-added":
      case "consumer-removed":
        if (!present.takesLists) return [];
        rests.add(`queue ${change.queue}`);
        // Of two who leave at once one is the last.
        if (
          change.type === "consumer-removed" &&
          present.isAutoDelete(change.queue)
        ) rests.add(`consumers ${change.queue}`);
        break;
      case "queue-deleted":
        if (!present.takesLists) return [];
        for (const kind of ["queue", "consumers", "sources"]) {
          rests.add(`${kind} ${change.name}`);
        }
        break;
      case "bound": {
        const { source, destination: { kind, name } } = change.binding;
        rests.add(`exchange ${source}`);
        rests.add(`bindings ${source}`);
        rests.add(`${kind} ${name}`);
        break;
      }
      default:
        return [];
    }
  }
  return [...rests];
}

/** The record of a consumer that takes from lists alone. Others, of 0.1.0 or with `fanout: "pubsub"`, listen too. */
const LISTS = { takes: "lists" };

/** Says whether a consumer has a fanout exchange's messages by listening itself. */
export function listens(consumer: ConsumerRecord): boolean {
  return !("takes" in consumer);
}

/**
 * What comes and goes one by one, of which a list may have thousands: the server adds it and
 * takes it away, and nobody writes the whole. Consumers do not rest on one another.
 */
class Crowd {
  readonly #present: Present;
  /** How often a list loses an entry; one that goes with its queue is lost as a whole. */
  readonly #losses = new Map<string, number>();
  readonly #joined: (readonly [field: string, entry: string])[] = [];
  readonly left: (readonly [field: string, entry: string])[] = [];

  constructor(present: Present, changes: readonly TopologyChange[]) {
    this.#present = present;
    for (const change of changes) {
      if (change.type === "queue-deleted") {
        this.#losses.set(`consumers ${change.name}`, Infinity);
      } else if (change.type === "consumer-removed") {
        const field = `consumers ${change.queue}`;
        this.#losses.set(field, (this.#losses.get(field) ?? 0) + 1);
      }
    }
  }

  join(field: string, entry: string): void {
    this.#joined.push([field, entry]);
  }

  /** Whether the server may take an entry away: alone, and if it stands there as it is written. */
  leave(field: string, entry: string): boolean {
    const may = this.#losses.get(field) === 1 &&
      this.#present.field(field).includes(entry);
    if (may) this.left.push([field, entry]);
    return may;
  }

  joined(): readonly (readonly [field: string, entries: string])[] {
    const byField = Map.groupBy(this.#joined, ([field]) => field);
    return [...byField].map(([field, entries]) =>
      [field, entries.map(([, entry]) => entry).join(",")] as const
    );
  }
}

/** Fields of the hash that hold lists. */
class Lists {
  readonly #present: Present;
  readonly #lists = new Map<string, string[]>();

  constructor(present: Present) {
    this.#present = present;
  }

  clear(field: string): void {
    this.#lists.set(field, []);
  }

  add(field: string, entry: unknown): void {
    const texts = this.#of(field);
    const text = write(entry);
    if (!texts.includes(text)) texts.push(text);
  }

  remove(field: string, entry: unknown): void {
    const text = write(entry);
    this.#lists.set(field, this.#of(field).filter((each) => each !== text));
  }

  *changed(): Iterable<readonly [field: string, value: string]> {
    for (const [field, texts] of this.#lists) {
      const value = texts.length === 0 ? "" : `[${texts.join(",")}]`;
      if (value !== this.#present.field(field)) yield [field, value];
    }
  }

  #of(field: string): string[] {
    let texts = this.#lists.get(field);
    if (texts === undefined) {
      const value = this.#present.field(field);
      const entries = value === "" ? [] : parseJson(value);
      texts = Array.isArray(entries) ? entries.map(write) : [];
      this.#lists.set(field, texts);
    }
    return texts;
  }
}

/** Whether Kombu's sets have a way to say a binding: not if a key contains the separator. */
function isKombus(
  binding: Binding,
  type: string | undefined,
  layout: Layout,
): boolean {
  return binding.destination.kind === "queue" && type !== "headers" &&
    Object.keys(binding.arguments).length === 0 &&
    layout.fits(memberOf(binding, type));
}

function memberOf(
  { routingKey, destination }: Binding,
  type: string | undefined,
): Member {
  return {
    routingKey,
    pattern: type === "topic" ? formatPattern(routingKey) : "",
    queue: destination.name,
  };
}

/**
 * Writes a value of the hash.
 *
 * @returns Its text, the same for equal values that were made alike.
 */
export function write(value: unknown): string {
  return stringifyJson(value);
}

/** Reads a value that a process of ours wrote: nobody else writes these fields. */
export function read<T>(text: string): T {
  return parseJson(text) as T;
}

/**
 * Reads a list that a process of ours wrote.
 *
 * @param text Its text; empty where there is none.
 */
export function readList<T>(text: string): T[] {
  return text === "" ? [] : read<T[]>(text);
}

/** Reads a list, by the texts of its entries. */
export function byText<T>(text: string): Map<string, T> {
  return new Map(readList<T>(text).map((each) => [write(each), each]));
}
