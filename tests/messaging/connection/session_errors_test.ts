/** The combined error of several attempts. */

import { assertEquals, assertMatch, assertStrictEquals } from "@std/assert";
import {
  late,
  lateError,
  withOutcome,
} from "../../../messaging/connection/session_errors.ts";
import {
  ConnectionError,
  type MessagingError,
  TimeoutError,
} from "../../../model/errors.ts";

const unknown = new ConnectionError("cut", {
  code: "connection-lost",
  outcome: "unknown",
});
const notSent = new TimeoutError("late", { outcome: "not-sent" });

Deno.test("the last error does not deny that an earlier attempt may have reached the broker", () => {
  const refused = new ConnectionError("no one there", {
    code: "connection-failed",
    outcome: "not-sent",
  });
  for (const last of [notSent, refused]) {
    const error = withOutcome(last, unknown) as MessagingError;
    assertEquals(
      [error.name, error.message, error.outcome, error.cause],
      [last.name, last.message, "unknown", last],
    );
  }
});

Deno.test("an error stays as it is where no attempt may have reached the broker, or it says so itself", () => {
  const login = new ConnectionError("no", {
    code: "authentication-failed",
    outcome: "not-sent",
  });
  const strange = new Error("strange");
  const tardy = new TimeoutError("late", { outcome: "unknown" });
  assertStrictEquals(withOutcome(notSent, notSent), notSent);
  assertStrictEquals(withOutcome(notSent, strange), notSent);
  assertStrictEquals(withOutcome(tardy, unknown), tardy);
  assertStrictEquals(withOutcome(strange, unknown), strange);
  assertStrictEquals(withOutcome(login, unknown), login);
});

Deno.test("a first connection that is not there within connectTimeout is one error, whoever tells it first", () => {
  const told = new TimeoutError("the broker has not answered");
  for (const why of [undefined, told]) {
    const error = lateError("memory://x/", why, true, false);
    assertEquals(error.name, "ConnectionError");
    assertEquals((error as MessagingError).code, "connection-failed");
  }
  assertEquals(
    lateError("memory://x/", undefined, true, true).name,
    "TimeoutError",
  );
  assertEquals(
    lateError("memory://x/", told, false, true).name,
    "TimeoutError",
  );
});

Deno.test("a publish that is late says whether it waits for an answer, or has not been sent", () => {
  assertMatch(late(true).message, /the broker has not answered/);
  assertEquals(late(true).outcome, "unknown");
  assertMatch(late(false).message, /the channel for publishing is not ready/);
  assertEquals(late(false).outcome, "not-sent");
});
