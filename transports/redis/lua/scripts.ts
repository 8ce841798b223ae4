import { type Layout, LAYOUT_VERSION } from "../layout.ts";
import {
  COUNT,
  COUNT_VISIBLE,
  EXPIRY,
  HOLD,
  LINEAGE,
  PASS,
  PURGE,
  RIPEN,
  TAKE,
  UNACKED_OF,
} from "./messages.ts";
import { CHANGE_DELAYED, LIST_DELAYED } from "./delayed.ts";
import { ANNOUNCE } from "./announce.ts";
import { LOOK, PEEK_ORDERED, TALLY } from "./inspect.ts";
import { AGAIN, IS_ORDERED, ORDER, REMOVE_ORDERED } from "./order.ts";
import { ADOPT, BROADCAST, PUT, PUT_ONE } from "./put.ts";
import { ASIDE, BACK, OVERDUE, RELEASE, REMOVE, RENEW } from "./settle.ts";
import { ADMIT } from "./rate.ts";
import { READY, SIZES } from "./sizes.ts";
import { DECLARED, NOTE } from "./slots.ts";
import { ADJUST, CLOCK, CLOCK_TIME } from "./clock.ts";
import { EXPIRES, OTHERS, USE } from "./expires.ts";
import {
  APPLY,
  AT_FULL_MEMORY,
  BEAT,
  LOOKING,
  MEND,
  MEND_END,
  MEND_PIECE,
  READ,
  VERSION,
} from "./tables.ts";

/** The scripts that run in the server, each in one atomic step. */
export interface Scripts {
  /** Takes messages. */
  readonly take: string;
  /** Puts plain messages, many at once. */
  readonly put: string;
  /** Puts the copies of one message: delayed, once, in place of another, or where a length limit holds. */
  readonly putOne: string;
  /** Sends a message to all listeners. */
  readonly broadcast: string;
  /** Puts messages that others published, unless another process did. */
  readonly adopt: string;
  /** Acks messages. */
  readonly remove: string;
  /** Acks messages of ordered queues. */
  readonly removeOrdered: string;
  /** Requeues messages. */
  readonly release: string;
  /** Writes messages of ordered queues again in their place, at once or later. */
  readonly again: string;
  /** Renews messages that are being worked on. */
  readonly renew: string;
  /** Finds messages that were taken too long ago. */
  readonly overdue: string;
  /** Says that an owner lives, and finds those that do not. */
  readonly beat: string;
  /** Reads the declarations. */
  readonly read: string;
  /** Mends a piece of a large set of bindings. */
  readonly mendPiece: string;
  /** Takes over what the pieces have mended. */
  readonly mendEnd: string;
  /** Changes the declarations. */
  readonly apply: string;
  /** Counts the ready messages of a queue. */
  readonly count: string;
  /** Cancels a delayed message, or moves it. */
  readonly changeDelayed: string;
  /** Lists delayed messages. */
  readonly listDelayed: string;
  /** Promotes delayed messages that are due. */
  readonly ripen: string;
  /** Removes the ready messages of a queue. */
  readonly purge: string;
  /** Looks whether something of a queue is unacked. */
  readonly unacked: string;
  /** Puts aside what cannot be read. */
  readonly aside: string;
  /** Puts quarantined entries back into their queue. */
  readonly back: string;
  /** Counts a handler that begins, if its rate allows it. */
  readonly admit: string;
  /** Notes that queues are used. */
  readonly use: string;
  /** Looks at queues. */
  readonly look: string;
  /** Counts what is unacked, by queue, in pieces. */
  readonly tally: string;
  /** Reads messages of an ordered queue. */
  readonly peekOrdered: string;
  /** Corrects a clock that was set forward. */
  readonly adjust: string;
  /** Tells a queue's slot what is declared of it. */
  readonly note: string;
}

/**
 * Writes the scripts for a layout. They name keys that they are not told of; `KEYS` are those
 * that the server is to watch for us. In a cluster the first of them is what stands before all
 * keys of the call: all of these are in its slot. No such key is ever there, so a node that
 * has given away a part of the slot refuses the script before it begins.
 */
export function writeScripts(layout: Layout): Scripts {
  const { prefix, sharded = false } = layout.options;
  const quote = (text: string) =>
    sharded && text.startsWith(layout.shared)
      ? `P .. ${quoted(text.slice(layout.shared.length))}`
      : quoted(text);
  const constants = `
local P = ${sharded ? "table.remove(KEYS, 1)" : quoted(prefix)}
local HERE = ${sharded ? `P == ${quoted(layout.shared)}` : "true"}
local SUFFIXES = {${layout.suffixes.map(quote).join(", ")}}
local SEP, STEPS = ${quote(layout.options.sep)}, {${layout.steps.join(", ")}}
local UNACKED, INDEX = ${quote(layout.unacked)}, ${quote(layout.unackedIndex)}
local TABLES, CHANGES = ${quote(layout.topology)}, ${quote(layout.changes)}
local DUE, EXPIRING = ${quote(layout.due)}, ${quote(layout.expiring)}
local OWNERS = ${quote(layout.owners)}
local BINDINGS = ${quote(layout.bindings(""))}
local PERMANENT = ${quote(layout.permanentBindings(""))}
local CLAIMED = ${quote(layout.claimed(""))}
local PIECES = ${quote(layout.pieces(""))}
local ORDERED = ${quote(layout.ordered())}
local DELAYED = ${quote(layout.delayed(""))}
local MALFORMED = ${quote(layout.malformed(""))}
local BOUND = ${quote(layout.bound(""))}
local BETWEEN = ${quote(layout.options.sep)}
local PATIENT = ${quote(layout.patient)}
local TIME = ${quote(layout.time)}
local SIZED = ${quote(layout.sizes)}
local DEADLINES = ${quote(layout.deadlines)}
local LAYOUT = '${LAYOUT_VERSION}'
local takesWrites = true
`;
  const script = (...parts: readonly string[]) => constants + parts.join("");
  const consumers = (...parts: readonly string[]) =>
    script(AT_FULL_MEMORY, ...parts);
  const looks = (...parts: readonly string[]) => script(LOOKING, ...parts);
  const queue = `local QUEUE = string.sub(P, ${
    new TextEncoder().encode(prefix).length + 2
  }, -2)\n`;
  const guard = sharded ? queue + DECLARED : "";
  return {
    take: consumers(...PASSING, TAKE),
    put: script(guard, VERSION, CLOCK_TIME, ...OWN, ANNOUNCE, PUT),
    putOne: script(...HOLDING, guard, VERSION, ...OWN, ANNOUNCE, PUT_ONE),
    broadcast: script(VERSION, BROADCAST),
    adopt: script(VERSION, CLOCK_TIME, ...USED, ADOPT),
    remove: consumers(REMOVE),
    removeOrdered: consumers(EXPIRY, ORDER, REMOVE_ORDERED),
    release: consumers(LINEAGE, SIZES, CLOCK_TIME, ...OWN, RELEASE),
    again: consumers(CLOCK, LINEAGE, SIZES, ...OWN, AGAIN),
    renew: consumers(CLOCK, RENEW),
    overdue: consumers(CLOCK, OVERDUE),
    beat: consumers(CLOCK, VERSION, BEAT),
    read: looks(...MENDING, OTHERS, READ),
    mendPiece: consumers(...MENDING, MEND_PIECE),
    mendEnd: consumers(...MENDING, MEND_END),
    apply: consumers(...MENDING, READY, APPLY),
    count: looks(...PASSING, COUNT_VISIBLE, COUNT),
    ripen: consumers(...PASSING, RIPEN),
    changeDelayed: consumers(...ORDERED, CHANGE_DELAYED),
    listDelayed: looks(...ORDERED, LIST_DELAYED),
    purge: consumers(SIZES, PURGE),
    unacked: script(UNACKED_OF),
    aside: consumers(EXPIRY, IS_ORDERED, ORDER, ASIDE),
    back: consumers(CLOCK_TIME, ...USED, BACK),
    look: looks(CLOCK, EXPIRY, IS_ORDERED, COUNT_VISIBLE, LOOK),
    tally: script(TALLY),
    peekOrdered: script(PEEK_ORDERED),
    use: consumers(CLOCK, ...USED, USE),
    adjust: consumers(CLOCK, ADJUST),
    admit: consumers(ADMIT),
    note: consumers(queue, ...USED, NOTE),
  };
}

/** The Lua that several scripts have in common, in the order in which they need it. */
const USED = [IS_ORDERED, EXPIRES];
const OWN = [EXPIRY, ...USED, ORDER];
const ORDERED = [CLOCK, EXPIRY, IS_ORDERED, ORDER];
const HOLDING = [CLOCK, LINEAGE, HOLD, SIZES];
const PASSING = [...HOLDING, ...OWN, ANNOUNCE, PASS];
const MENDING = [CLOCK, VERSION, ...USED, MEND];

/** Says whether a script goes by the time, and is told which is expected. */
export function isTimed(text: string): boolean {
  return text.includes(CLOCK);
}

/** As a string of Lua: every byte but letters and digits by its number. */
function quoted(text: string): string {
  const bytes = [...new TextEncoder().encode(text)].map((byte) =>
    /[A-Za-z0-9]/.test(String.fromCharCode(byte))
      ? String.fromCharCode(byte)
      : `\\${String(byte).padStart(3, "0")}`
  );
  return `"${bytes.join("")}"`;
}
