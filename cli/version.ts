/**
 * The version of this package, as `deno.json` has it: written here, for the command line is
 * published without that file, and a bundle has none.
 */
export const VERSION = "0.1.0";
