import { readList, write, type Writes } from "./writes.ts";

/** So many lists of the exchanges that lead to a queue are written with the exchange that goes. */
const SOURCES = 500;

/**
 * Splits what is written when an exchange goes: the lists of thousands of queues that it led
 * to are written behind it, in pieces. Until then they name an exchange that is not there.
 *
 * @param writes All of it.
 * @returns The writes to begin with, and those that follow.
 */
export function inPieces(
  writes: Writes,
): { readonly first: Writes; readonly later: readonly Writes[] } {
  if (writes.emptied.length === 0 || writes.fields.length <= SOURCES) {
    return { first: writes, later: [] };
  }
  const sources = writes.fields.filter(([field]) => isSources(field));
  const others = writes.fields.filter(([field]) => !isSources(field));
  const later: Writes[] = [];
  for (let i = SOURCES; i < sources.length; i += SOURCES) {
    const fields = sources.slice(i, i + SOURCES);
    later.push({
      fields,
      added: [],
      removed: [],
      emptied: [],
      joined: [],
      left: [],
      isQuiet: true,
      rests: fields.map(([field]) => field),
    });
  }
  const fields = [...others, ...sources.slice(0, SOURCES)];
  return { first: { ...writes, fields }, later };
}

function isSources(field: string): boolean {
  return field.startsWith("sources ");
}

/**
 * Returns the fields that the planned changes leave, as far as the present state is known.
 *
 * @param writes The changes.
 * @param present Looks up the value of a field; empty if there is none.
 * @returns The fields, and their values; an empty one goes.
 */
export function fieldsAfter(
  { fields, joined, left }: Writes,
  present: (field: string) => string,
): readonly (readonly [field: string, value: string])[] {
  if (joined.length + left.length === 0) return fields;
  const after = new Map(fields);
  const valueOf = (field: string) => after.get(field) ?? present(field);
  for (const [field, entries] of joined) {
    const value = valueOf(field);
    after.set(
      field,
      value === "" ? `[${entries}]` : `${value.slice(0, -1)},${entries}]`,
    );
  }
  for (const [field, entry] of left) {
    const texts = readList(valueOf(field)).map(write);
    const rest = texts.filter((each) => each !== entry);
    after.set(field, rest.length === 0 ? "" : `[${rest.join(",")}]`);
  }
  return [...after];
}
