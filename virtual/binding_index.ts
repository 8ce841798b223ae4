import type { Binding } from "../model/binding.ts";
import type { ExchangeType } from "../model/exchange.ts";
import type { FieldTable } from "../model/field_table.ts";
import { HeadersIndex } from "./headers_index.ts";
import { patternWords, splitWords } from "./topic.ts";

/** The bindings from one exchange, arranged for finding those that match. */
export interface BindingIndex {
  /** Adds a binding that is not there. */
  add(binding: Binding): void;
  /** Removes a binding that is there: the very object. */
  remove(binding: Binding): void;
  /** Calls `found` for each that matches. */
  match(
    routingKey: string,
    headers: FieldTable | undefined,
    found: (binding: Binding) => void,
  ): void;
}

/**
 * Makes an empty index.
 *
 * @param type How the exchange routes.
 * @returns The index: by key for direct, by word for topic, by header for headers, a list for fanout.
 */
export function createIndex(type: ExchangeType): BindingIndex {
  switch (type) {
    case "direct":
      return new KeyIndex();
    case "topic":
      return new WordIndex();
    case "fanout":
      return new ListIndex();
    case "headers":
      return new HeadersIndex();
    default:
      return new ListIndex(); // none is declared
  }
}

class KeyIndex implements BindingIndex {
  readonly #byKey = new Map<string, Set<Binding>>();

  add(binding: Binding): void {
    const sharing = this.#byKey.get(binding.routingKey);
    if (sharing === undefined) {
      this.#byKey.set(binding.routingKey, new Set([binding]));
    } else sharing.add(binding);
  }

  remove(binding: Binding): void {
    const sharing = this.#byKey.get(binding.routingKey);
    sharing?.delete(binding);
    if (sharing?.size === 0) this.#byKey.delete(binding.routingKey);
  }

  match(
    routingKey: string,
    _headers: FieldTable | undefined,
    found: (binding: Binding) => void,
  ): void {
    for (const binding of this.#byKey.get(routingKey) ?? []) found(binding);
  }
}

class ListIndex implements BindingIndex {
  readonly #bindings = new Set<Binding>();

  add(binding: Binding): void {
    this.#bindings.add(binding);
  }

  remove(binding: Binding): void {
    this.#bindings.delete(binding);
  }

  match(
    _routingKey: string,
    _headers: FieldTable | undefined,
    found: (binding: Binding) => void,
  ): void {
    for (const binding of this.#bindings) found(binding);
  }
}

interface Node {
  /** Whether it was reached by `#`, and so stays where it is for any word. */
  readonly many: boolean;
  readonly words: Map<string, Node>;
  readonly bindings: Set<Binding>;
}

/** A trie: its depth is a pattern's length, so the number of patterns costs nothing. */
class WordIndex implements BindingIndex {
  readonly #root = newNode(false);

  add(binding: Binding): void {
    let node = this.#root;
    for (const word of patternWords(binding.routingKey)) {
      let next = node.words.get(word);
      if (next === undefined) {
        node.words.set(word, next = newNode(word === "#"));
      }
      node = next;
    }
    node.bindings.add(binding);
  }

  remove(binding: Binding): void {
    this.#remove(this.#root, patternWords(binding.routingKey), 0, binding);
  }

  match(
    routingKey: string,
    _headers: FieldTable | undefined,
    found: (binding: Binding) => void,
  ): void {
    const words = splitWords(routingKey);
    // All nodes that the key so far leads to, each once: patterns like #.#.#
    // would otherwise be walked in ever more ways.
    let places: ReadonlySet<Node> = new Set([this.#root]);
    const widen = (node: Node, into: Set<Node>) => {
      if (into.has(node)) return;
      into.add(node);
      const more = node.words.get("#");
      if (more !== undefined) widen(more, into);
    };
    for (let i = 0; i <= words.length; i++) {
      const here = new Set<Node>();
      for (const node of places) widen(node, here);
      if (i === words.length) {
        for (const node of here) {
          for (const binding of node.bindings) found(binding);
        }
        return;
      }
      places = this.#step(here, words[i] ?? "");
      if (places.size === 0) return;
    }
  }

  /** Returns the nodes that one more word leads to: by itself, by `*`, or staying on a `#`. */
  #step(here: ReadonlySet<Node>, word: string): ReadonlySet<Node> {
    const next = new Set<Node>();
    for (const node of here) {
      const same = node.words.get(word);
      // A key's own "*" or "#" is an ordinary word, and no wildcard.
      if (same !== undefined && word !== "*" && word !== "#") next.add(same);
      const any = node.words.get("*");
      if (any !== undefined) next.add(any);
      if (node.many) next.add(node);
    }
    return next;
  }

  #remove(
    node: Node,
    words: readonly string[],
    depth: number,
    binding: Binding,
  ): boolean {
    const word = words[depth];
    if (word === undefined) node.bindings.delete(binding);
    else {
      const next = node.words.get(word);
      if (
        next !== undefined && this.#remove(next, words, depth + 1, binding)
      ) node.words.delete(word);
    }
    return node.bindings.size === 0 && node.words.size === 0;
  }
}

function newNode(many: boolean): Node {
  return { many, words: new Map(), bindings: new Set() };
}
