#!/usr/bin/env node
/** The program `dashi` of the package for npm: Node 22 has no `import.meta.main`. */

import { run } from "./main.ts";
import { endWith, ownTerminal } from "./terminal_client.ts";

void run(ownTerminal()).then(endWith);
