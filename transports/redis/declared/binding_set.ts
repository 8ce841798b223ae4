import type { Binding } from "../../../model/binding.ts";
import type { Layout } from "../layout.ts";

/** One binding as the set has it: a key and a queue, whatever the pattern says. */
export interface SetBinding {
  readonly routingKey: string;
  readonly queue: string;
}

/**
 * An exchange's set of bindings as it was last seen. Two members may be one binding:
 * versions of Kombu write different patterns.
 */
export class BindingSet {
  readonly #layout: Layout;
  readonly #members = new Map<string, SetBinding>();
  /** By key and queue. */
  readonly #texts = new Map<string, Set<string>>();
  /** How many members the server has, or -1 if that is not known. */
  size = -1;

  /** Makes a set that has not been seen yet. */
  constructor(layout: Layout) {
    this.#layout = layout;
  }

  /** How many members were seen. */
  get seen(): number {
    return this.#members.size;
  }

  /** Goes through the members as they were written. */
  texts(): Iterable<string> {
    return this.#members.keys();
  }

  /** Whether a member was seen. */
  has(text: string): boolean {
    return this.#members.has(text);
  }

  /** Adds a member; returns the binding if it is a new one. */
  add(text: string): SetBinding | undefined {
    const member = this.#layout.parseMember(text);
    if (member === undefined || this.#members.has(text)) return undefined;
    this.#members.set(text, member);
    const name = nameOf(member);
    const texts = this.#texts.get(name);
    if (texts === undefined) {
      this.#texts.set(name, new Set([text]));
      return member;
    }
    texts.add(text);
    return undefined;
  }

  /** Removes a member; returns the binding if that was its last one. */
  remove(text: string): SetBinding | undefined {
    const member = this.#members.get(text);
    if (member === undefined) return undefined;
    this.#members.delete(text);
    const name = nameOf(member);
    const texts = this.#texts.get(name);
    texts?.delete(text);
    if (texts === undefined || texts.size > 0) return undefined;
    this.#texts.delete(name);
    return member;
  }

  /** The members that are a binding, as they were written. */
  textsOf(binding: SetBinding): Iterable<string> {
    return this.#texts.get(nameOf(binding)) ?? [];
  }
}

function nameOf({ routingKey, queue }: SetBinding): string {
  return JSON.stringify([routingKey, queue]);
}

/** Makes the binding that a member of a set is. */
export function bindingOf(
  source: string,
  { routingKey, queue }: SetBinding,
): Binding {
  return {
    source,
    destination: { kind: "queue", name: queue },
    routingKey,
    arguments: {},
  };
}
