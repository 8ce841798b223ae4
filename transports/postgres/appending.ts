import type { Draft, Value } from "../sql/port.ts";
import { bytesArray, numberArray, textArray } from "./arrays.ts";

/** A column of `places` that a message's draft says. */
interface Column {
  readonly name: string;
  readonly type: "bigint" | "text";
  readonly of: (draft: Draft) => number | string | null;
}

const COLUMNS: readonly Column[] = [
  { name: "state", type: "bigint", of: ({ state }) => state },
  { name: "queue", type: "bigint", of: ({ queue }) => queue },
  { name: "rank", type: "bigint", of: ({ rank }) => rank },
  { name: "home", type: "bigint", of: ({ home }) => home },
  { name: "key", type: "text", of: ({ key }) => key },
  { name: "message_id", type: "text", of: ({ messageId }) => messageId },
  { name: "expires_at", type: "bigint", of: ({ expiresAt }) => expiresAt },
  { name: "deliveries", type: "bigint", of: ({ deliveries }) => deliveries },
  { name: "put_at", type: "bigint", of: ({ putAt }) => putAt },
];

/**
 * Writes the statement that adds messages, with its values. What is the same in all of them
 * is one value: to find the nth of an array that has nulls or texts, the server reads it
 * from its beginning.
 *
 * @param drafts The messages, in their order.
 * @returns The statement, and the values of its `?`.
 */
export function appending(
  drafts: readonly Draft[],
): { readonly text: string; readonly values: readonly Value[] } {
  const values: Value[] = [
    textArray(drafts.map(({ head }) => head)),
    bytesArray(drafts.map(({ body }) => body)),
  ];
  const columns = COLUMNS.map(({ type, of }) => {
    const all = drafts.map(of);
    const [first = null] = all;
    const areAlike = all.every((each) => each === first);
    values.push(areAlike ? first : arrayOf(type, all));
    return areAlike ? `?::${type}` : `(?::${type}[])[n]`;
  });
  // The nth of what is put is the nth that was written.
  const n = columns.some((each) => each.endsWith("[n]"))
    ? ", row_number() OVER () AS n"
    : "";
  return {
    text: `WITH written AS (
        INSERT INTO dashi.messages (head, body)
          SELECT * FROM unnest(?::text[], ?::bytea[])
          RETURNING id, octet_length(body) AS size
      )
      INSERT INTO dashi.places (id, size, ${NAMES})
        SELECT id, size, ${columns.join(", ")}
          FROM (SELECT id, size${n} FROM written) AS numbered`,
    values,
  };
}

const NAMES = COLUMNS.map(({ name }) => name).join(", ");

function arrayOf(
  type: Column["type"],
  all: readonly (number | string | null)[],
): Uint8Array {
  return type === "bigint"
    ? numberArray(all as readonly (number | null)[])
    : textArray(all as readonly (string | null)[]);
}
