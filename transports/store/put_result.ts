/** What became of a put, where nothing more is to be said of it. */

import type { PutResult } from "./store.ts";

/** All of it is there. */
export const PUT: PutResult = { type: "put", displaced: [] };
/** The view was old. */
export const STALE: Extract<PutResult, { type: "stale" }> = { type: "stale" };
/** What it was to replace was no longer ours. */
export const LOST: Extract<PutResult, { type: "lost" }> = { type: "lost" };
