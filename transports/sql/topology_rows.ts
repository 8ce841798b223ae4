import { sha256 } from "../../codec/digest.ts";
import { encodeBase64, parseJson, stringifyJson } from "../../codec/mod.ts";
import type { Binding } from "../../model/binding.ts";
import { DecodeError } from "../../model/errors.ts";
import { quote } from "../../model/foreign_text.ts";
import { isBinding, isDeclaration, isTable } from "../store/stored_shapes.ts";
import { identifyTable } from "../../virtual/field_value.ts";
import type { ConsumerRecord, TopologyChange } from "../../virtual/topology.ts";
import type { Row, Tx, Value } from "./port.ts";

/** A change that makes something. */
type Made =
  | Extract<
    TopologyChange,
    { readonly type: "exchange-declared" | "queue-declared" }
  >
  | { readonly type: "bound"; readonly binding: Binding }
  | {
    readonly type: "consumer-added";
    readonly queue: string;
    readonly consumer: ConsumerRecord;
  };

/** A row of the tables: what was made, and whether it is gone. */
export interface StoredRow {
  readonly made: Made;
  readonly isGone: boolean;
  /** Of a queue, its number. */
  readonly number: number;
}

/** What is needed before what: a binding needs its exchange and its queue. */
const ORDER: readonly Made["type"][] = [
  "exchange-declared",
  "queue-declared",
  "bound",
  "consumer-added",
];

/**
 * Reads rows, what others need first.
 *
 * @throws {DecodeError} If one is not of this library: what is missing would be missed by whoever routes by it.
 */
export function readRows(rows: readonly Row[]): StoredRow[] {
  const read = rows.map(({ id, gone, fields }): StoredRow => {
    const { number, made } = readFields(id, fields);
    return { number, made: withOwner(made), isGone: gone !== null };
  });
  return read.sort((a, b) =>
    ORDER.indexOf(a.made.type) - ORDER.indexOf(b.made.type)
  );
}

function readFields(
  id: Value | undefined,
  fields: Value | undefined,
): Omit<StoredRow, "isGone"> {
  let cause: unknown;
  try {
    const stored = parseJson(String(fields));
    if (isStored(stored)) return stored;
  } catch (error) {
    cause = error;
  }
  throw new DecodeError(
    `Cannot read the declarations: row ${
      quote(id)
    } of table "topology" is not of this library; remove it, or restore it`,
    { cause },
  );
}

function isStored(value: unknown): value is Omit<StoredRow, "isGone"> {
  const { number, made } = Object(value);
  const { type, exchange, queue, binding, consumer } = Object(made);
  switch (type) {
    case "exchange-declared":
      return isDeclaration(exchange);
    case "queue-declared":
      return isDeclaration(queue) && Number.isSafeInteger(number);
    case "bound":
      return isBinding(binding);
    case "consumer-added":
      return typeof queue === "string" && isTable(consumer);
    default:
      return false;
  }
}

/** JSON leaves out what is undefined. */
function withOwner(made: Made): Made {
  return made.type === "queue-declared"
    ? { ...made, owner: made.owner ?? undefined }
    : made;
}

/** The change that undoes another. */
export function unmade(made: Made): TopologyChange {
  switch (made.type) {
    case "exchange-declared":
      return { type: "exchange-deleted", name: made.exchange.name };
    case "queue-declared":
      return { type: "queue-deleted", name: made.queue.name, ifEmpty: false };
    case "bound":
      return { type: "unbound", binding: made.binding };
    case "consumer-added":
      return { ...made, type: "consumer-removed" };
  }
}

/** Writes a change: a row for what it makes, and a mark on the row of what it undoes. */
export async function writeRow(
  tx: Tx,
  change: TopologyChange,
  { at, number, now }: {
    readonly at: number;
    readonly number: number;
    readonly now: number;
  },
): Promise<void> {
  const id = await idOf(change);
  if (!isMade(change)) {
    await tx.run(
      "UPDATE dashi.topology SET at = ?, gone = ? WHERE id = ?",
      at,
      now,
      id,
    );
    return;
  }
  await tx.run(
    `INSERT INTO dashi.topology (id, at, gone, fields) VALUES (?, ?, NULL, ?)
      ON CONFLICT (id) DO UPDATE SET
        at = excluded.at, gone = NULL, fields = excluded.fields`,
    id,
    at,
    stringifyJson({ number, made: change }),
  );
}

function isMade(change: TopologyChange): change is Made {
  return ORDER.some((each) => each === change.type);
}

async function idOf(change: TopologyChange): Promise<string> {
  switch (change.type) {
    case "exchange-declared":
      return `exchange ${change.exchange.name}`;
    case "exchange-deleted":
      return `exchange ${change.name}`;
    case "queue-declared":
      return `queue ${change.queue.name}`;
    case "queue-deleted":
      return `queue ${change.name}`;
    case "consumer-added":
    case "consumer-removed": {
      const { owner, consumerTag } = change.consumer;
      return await short(
        "consumer",
        JSON.stringify([change.queue, owner, consumerTag]),
      );
    }
    case "bound":
    case "unbound": {
      const { source, destination, routingKey, arguments: table } =
        change.binding;
      return await short(
        "binding",
        JSON.stringify([
          source,
          destination.kind,
          destination.name,
          routingKey,
          identifyTable(table),
        ]),
      );
    }
  }
}

/** A key that an index of any database takes. */
async function short(kind: string, text: string): Promise<string> {
  if (text.length <= 500) return `${kind} ${text}`;
  return `${kind} ${encodeBase64(await sha256(text))}`;
}
