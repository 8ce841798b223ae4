import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  AuthenticationError,
  ConnectionError,
  MessagingError,
  TimeoutError,
} from "../../model/errors.ts";
import { inSteps } from "../../async/steps.ts";

const late = new TimeoutError("late", { outcome: "not-sent" });
const lost = new ConnectionError("lost", {
  code: "connection-lost",
  outcome: "not-sent",
});

Deno.test("an error of the first step is told as it is", async () => {
  const failing = inSteps((change) => change(Promise.reject(late)));
  assertStrictEquals(await failing.catch((error) => error), late);
  const looking = inSteps(() => Promise.reject(late));
  assertStrictEquals(await looking.catch((error) => error), late);
});

for (const [name, error] of Object.entries({ late, lost })) {
  Deno.test(`an error of a later step does not say that nothing was sent: ${name}`, async () => {
    for (
      const second of [
        () => Promise.reject(error),
        (change: (step: Promise<never>) => Promise<never>) =>
          change(Promise.reject(error)),
      ]
    ) {
      const told = await assertRejects(
        () =>
          inSteps(async (change) => {
            await change(Promise.resolve());
            await second(change);
          }),
        MessagingError,
      );
      assertEquals(
        [told.name, told.code, told.outcome, told.retryable, told.cause],
        [error.name, error.code, "unknown", error.retryable, error],
      );
    }
  });
}

Deno.test("a step beside others that are under way may not deny them", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const told = await assertRejects(
    () =>
      inSteps((change) =>
        Promise.all([change(promise), change(Promise.reject(late))])
      ),
    TimeoutError,
  );
  assertEquals(told.outcome, "unknown");
  resolve();
});

Deno.test("an error that is no missing answer is told as it is, and a result is returned", async () => {
  for (const error of [new Error("other"), new AuthenticationError("no")]) {
    const failing = inSteps(async (change) => {
      await change(Promise.resolve());
      throw error;
    });
    assertStrictEquals(await failing.catch((error) => error), error);
  }
  const twice = (change: <R>(step: Promise<R>) => Promise<R>) =>
    change(Promise.resolve(7));
  assertEquals(await inSteps(twice), 7);
});
