/** The table of cases, for every broker that both sides speak. */

import { BODY_CASES } from "./bodies.ts";
import { RETURN_CASES } from "./returns.ts";
import { ROUTE_CASES } from "./routes.ts";
import type { InteropCase } from "./stage.ts";

/** All of them. */
export const CASES: readonly InteropCase[] = [
  ...ROUTE_CASES,
  ...RETURN_CASES,
  ...BODY_CASES,
];
