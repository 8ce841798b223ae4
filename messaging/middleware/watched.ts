import { isThenable } from "../../async/thenable.ts";
import type { Hooks, SettleHook } from "./hooks.ts";

/** Told when middlewares are at work on a message, and when they have passed it on or have ended. */
export interface HookWatch {
  /** One more is at work. */
  begin(): void;
  /** One fewer is. */
  end(): void;
}

/**
 * Tells of the time that hooks take themselves: not of what they wait for by `next`. Those
 * around handlers are left out, for they end as their handler does.
 *
 * @param hooks The hooks.
 * @param watch Who is told.
 * @returns The hooks to call.
 */
export function watched(hooks: Hooks, watch: HookWatch): Hooks {
  const { publish, receive, settle } = hooks;
  return {
    ...hooks,
    publish: publish &&
      ((message, send) =>
        during(
          watch,
          (pass) => publish(message, (passed) => pass(() => send(passed))),
        )),
    receive: receive &&
      ((message) => {
        const received = receive(message);
        if (!isThenable(received)) return received;
        watch.begin();
        return Promise.resolve(received).finally(() => watch.end());
      }),
    settle: settle && settling(settle, watch),
  };
}

function settling(settle: SettleHook, watch: HookWatch): SettleHook {
  return (settlement, next) =>
    during(watch, (pass) => settle(settlement, () => pass(next)));
}

function during(
  watch: HookWatch,
  call: (pass: (next: () => Promise<void>) => Promise<void>) => Promise<void>,
): Promise<void> {
  const pass = async (next: () => Promise<void>): Promise<void> => {
    watch.end();
    try {
      await next();
    } finally {
      watch.begin();
    }
  };
  watch.begin();
  return call(pass).finally(() => watch.end());
}
