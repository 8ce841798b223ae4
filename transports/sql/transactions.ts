import { Line } from "../../async/line.ts";
import type { TransactionStore } from "../store/store.ts";
import type { HeadWriter } from "./message.ts";
import type { Sql } from "./port.ts";
import type { Putter } from "./putter.ts";
import { SqlTables } from "./tables.ts";

/**
 * Puts messages in transactions of the caller's. The tables are read there, too: a database
 * of one writer has none but them while such a one is open.
 *
 * @returns The part of a store; `undefined` where nobody can have such a transaction.
 */
export function transactionsOf(
  sql: Sql,
  putter: Putter,
  heads: HeadWriter,
  now: () => number,
): TransactionStore | undefined {
  if (sql.within === undefined) return undefined;
  const tables = new SqlTables(now);
  const line = new Line();
  const within = sql.within.bind(sql);
  return {
    enter: (transaction, work) =>
      within(transaction, async (tx) => {
        if (!tables.suppose(tx)) {
          const meta = await tx.meta();
          await line.enter(() => tables.load(tx, meta));
        }
        return await work({
          view: tables.view,
          put: async (items) => {
            const [first] = items;
            if (first === undefined) return;
            const head = heads.write(first.message);
            await putter.putWithin(tx, tables, {
              items,
              heads: items.map(() => head),
              options: undefined,
            });
          },
        });
      }),
  };
}
