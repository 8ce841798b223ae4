/** Faults, and how often they happen: decided by a seed. */

import type { LastingServer } from "../brokers/server.ts";
import type { Proxy } from "../support/proxy.ts";

/** A number from 0 to 1, the next of a sequence that its seed decides. */
export type Random = () => number;

/** Makes a sequence of numbers (mulberry32). */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** Lets something go wrong on one side, and puts it right again. */
export type Fault = (proxy: Proxy, random: Random) => void | Promise<void>;

/** The faults of a network. */
export const NETWORK_FAULTS: Readonly<Record<string, Fault>> = {
  cut: (proxy) => proxy.cut(),
  reset: (proxy) => proxy.reset(),
  refuse: async (proxy, random) => {
    proxy.refuse();
    await pause(50 + 300 * random());
    proxy.heal();
  },
  "hang up": async (proxy, random) => {
    proxy.hangUp();
    await pause(50 + 300 * random());
    proxy.heal();
  },
  stall: async (proxy, random) => {
    proxy.stall();
    await pause(100 + 400 * random());
    proxy.heal();
  },
  mute: async (proxy, random) => {
    proxy.mute();
    await pause(100 + 400 * random());
    proxy.heal();
  },
  "half close": (proxy) => proxy.halfClose(),
  "break off": async (proxy, random) => {
    proxy.breakOff();
    await pause(50 + 300 * random());
    proxy.heal();
  },
  delay: async (proxy, random) => {
    proxy.delay(1 + 20 * random());
    await pause(300);
    proxy.delay(0);
  },
  split: async (proxy, random) => {
    proxy.split(1 + Math.floor(8 * random()));
    proxy.cut(); // holds for those that come now
    await pause(300);
    proxy.split();
  },
};

/** Lets something go wrong with a broker itself, and puts it right again. */
export type ServerFault = (
  server: LastingServer,
  random: Random,
) => Promise<void>;

/** The faults of a server. */
export const SERVER_FAULTS: Readonly<Record<string, ServerFault>> = {
  "server kill -9": (server) => server.restart("SIGKILL"),
  "server ended": (server) => server.restart("SIGTERM"),
  "server paused": async ({ pid }, random) => {
    Deno.kill(pid, "SIGSTOP");
    await pause(500 + 4000 * random()); // more or less than heartbeats allow
    Deno.kill(pid, "SIGCONT");
  },
};

/** Any of a network's, one after the other. */
export const MIXED: Fault = async (
  proxy: Proxy,
  random: Random,
): Promise<void> => {
  const faults = Object.values(NETWORK_FAULTS);
  await faults[Math.floor(random() * faults.length)]?.(proxy, random);
};

/** Waits. */
export function pause(duration: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, duration));
}
