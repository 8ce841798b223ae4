import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { ConnectionError, createConnection } from "@dashi/mq";
import { RowReader } from "../../../transports/postgres/binary_client.ts";
import type { Value } from "../../../transports/sql/port.ts";

/** A message of the protocol: its code, its length, and what it says. */
function message(code: string, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.write(code);
  head.writeUInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

/** A row of columns, each of which is bytes or null. */
function row(...columns: readonly (Uint8Array | null)[]): Buffer {
  const parts: Uint8Array[] = [Buffer.from([0, columns.length])];
  for (const column of columns) {
    const size = Buffer.alloc(4);
    size.writeInt32BE(column?.length ?? -1);
    parts.push(size, column ?? Buffer.alloc(0));
  }
  return message("D", Buffer.concat(parts));
}

function bigint(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64BE(BigInt(value));
  return bytes;
}

const [BIGINT, TEXT, BYTEA] = [20, 25, 17];

const BODY = crypto.getRandomValues(new Uint8Array(300));

const DESCRIPTION = message("T", Buffer.from("what the columns are"));
const END = [
  message("C", Buffer.from("SELECT 3\0")),
  message("Z", Buffer.from("I")),
];
const TEXT_ROW = row(Buffer.from("a row of text"));

/** Two answers: one in binary form, and one that the client reads. */
const SAID = [
  message("1", Buffer.alloc(0)),
  DESCRIPTION,
  row(bigint(-5), Buffer.from("寿司"), BODY),
  row(bigint(2 ** 40 + 7), null, null),
  row(bigint(0), Buffer.alloc(0), Buffer.alloc(0)),
  ...END,
  TEXT_ROW,
  ...END,
];

Deno.test("rows in binary form are read wherever their bytes are cut, and all else is the client's", () => {
  const all = Buffer.concat(SAID);
  for (let size = 1; size <= all.length; size++) {
    const socket = new EventEmitter();
    const reader = new RowReader(2 ** 20);
    const rows: Value[][] = [];
    const passed: Buffer[] = [];
    socket.on("data", (bytes: Buffer) => {
      passed.push(Buffer.from(bytes));
      const isDescribed = Buffer.concat(passed).toString("latin1")
        .endsWith(DESCRIPTION.toString("latin1"));
      if (isDescribed) reader.begin([BIGINT, TEXT, BYTEA], rows);
    });
    reader.attach(Object.assign(socket, { destroy() {} }));
    for (let at = 0; at < all.length; at += size) {
      socket.emit("data", all.subarray(at, at + size));
    }
    const empty = new Uint8Array(0);
    assertEquals(rows.map((row) => row.map(plain)), [
      [-5, "寿司", BODY],
      [2 ** 40 + 7, null, null],
      [0, "", empty],
    ]);
    const own = SAID.filter((_, i) => i < 2 || i > 4);
    assertEquals(Buffer.concat(passed), Buffer.concat(own));
  }
});

Deno.test("an answer that is none ends the connection, and not the process", () => {
  const socket = new EventEmitter();
  const reader = new RowReader(2 ** 20);
  const errors: Error[] = [];
  socket.on("data", () => reader.begin([BIGINT, BIGINT], []));
  reader.attach(
    Object.assign(socket, { destroy: (error: Error) => errors.push(error) }),
  );
  socket.emit("data", DESCRIPTION);
  socket.emit("data", row(bigint(1)));
  assertEquals(errors.map(({ message }) => message), [
    "the server's answer is no answer",
  ]);
});

function plain(value: Value): Value {
  return value instanceof Uint8Array ? new Uint8Array(value) : value;
}

Deno.test("words of a server that the client cannot read while it connects reject, and end no process", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  // "R": logged in; "Z": ready; "T": a description of nine columns, of which there is none.
  const [ready, garbled] = [
    [82, 0, 0, 0, 8, 0, 0, 0, 0, 90, 0, 0, 0, 5, 73],
    [84, 0, 0, 0, 6, 0, 9],
  ];
  const serving = (async () => {
    using socket = await listener.accept();
    const buffer = new Uint8Array(4096);
    for (const words of [ready, garbled]) {
      await socket.read(buffer);
      await socket.write(new Uint8Array(words));
    }
    while (await socket.read(buffer) !== null);
  })().catch(() => {});
  await using connection = createConnection(
    `postgres://u:p@127.0.0.1:${listener.addr.port}/db`,
    { reconnect: false, connectTimeout: 5000 },
  );
  const error = await assertRejects(
    () => connection.connect(),
    ConnectionError,
  );
  assert(error.message.includes("no answer"), error.message);
  await serving;
});
