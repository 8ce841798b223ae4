/** Processes of 0.1.0 beside those of this version, and the layout's version. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { createConnection, Queue } from "@dashi/mq";
import { PreconditionFailedError } from "../../../model/errors.ts";
import { onMongodb } from "../../support/mongodb.ts";
import { whyNoPredecessor } from "../../support/rolling.ts";
import { upgrade } from "../../support/upgrades.ts";

interface Counts {
  readonly _id: string;
  readonly layout: number;
}

onMongodb(
  "mongodb: 0.1.0 and this version publish to each other, and none is lost while each is started anew",
  ({ url }) => upgrade(url),
  whyNoPredecessor(),
);

onMongodb(
  "mongodb: the count of changes carries the layout's version, and another one is refused before anything is written",
  async (database) => {
    await using early = createConnection(database.url);
    await early.declare([new Queue("q")]);
    const counts = database.documents.collection<Counts>(
      "messages.topology",
    );
    const version = { _id: "version" };
    const there = await counts.findOne(version);
    assertEquals(there?.layout, 1);
    await counts.updateOne(version, { $set: { layout: 2 } });
    const dump = async () => {
      const all = await database.documents.collections();
      const names = all.map(({ collectionName }) => collectionName).toSorted();
      return await Promise.all(
        names.map(async (name) => [name, await database.find(name)]),
      );
    };
    const before = await dump();
    assert(before.length > 0);
    const text =
      "Cannot use the database: its collections have layout 2, and this version of the library knows layout 1; upgrade this process";
    const refuses = (call: () => Promise<unknown>) =>
      assertRejects(call, PreconditionFailedError, text);
    await using late = createConnection(database.url);
    await refuses(() => late.connect());
    // One that has connected before notices it with what it does next.
    await refuses(() => early.send("q", "x"));
    await refuses(() => early.declare([new Queue("other")]));
    assertEquals(await dump(), before);
  },
);
