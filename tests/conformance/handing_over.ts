import assert from "node:assert/strict";
import type { ConformanceCase } from "./case.ts";
import { onStage } from "./stage.ts";

/** When a message is a consumer's, and whose it is. */
export const HANDING_OVER: readonly ConformanceCase[] = [
  onStage(
    "a simple buffer puts and gets, without acks",
    async ({ connection, ...stage }) => {
      const { name } = stage.queue();
      const buffer = connection.simpleBuffer<{ n: number }>(name);
      assert.equal(await buffer.get(), undefined);
      await buffer.put({ n: 1 });
      await buffer.put({ n: 2 });
      await buffer.put({ n: 3 });
      assert.equal(await buffer.size(), 3);
      const seen: unknown[] = [];
      for (let i = 0; i < 2; i++) {
        const message = await buffer.get();
        assert.equal(message?.settled, true);
        seen.push(message?.payload.n);
      }
      assert.equal(await buffer.clear(), 1);
      assert.equal(await buffer.get(), undefined);
      assert.equal(new Set(seen).size, 2);
      await buffer[Symbol.asyncDispose]();
      const channel = await connection.channel();
      await channel.deleteExchange(name);
    },
  ),
];
