/** The middlewares of a program, as `--module` takes them. */

import { encryption, type Middleware } from "@dashi/mq/middleware";

const middlewares: readonly Middleware[] = [
  encryption({ keys: { k1: new Uint8Array(32).fill(7) }, current: "k1" }),
];

export default middlewares;
