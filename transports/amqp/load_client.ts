import { Buffer } from "node:buffer";
// By another name: bundles of users begin with one that declares "createRequire".
import { createRequire as requireFrom } from "node:module";
import { exportsOf } from "../../model/dependency.ts";
import { cannotLoad } from "../load_error.ts";
import { requirePatched } from "./patch_amqplib.ts";

let loading: Promise<Amqplib> | undefined;

/** Imports the client, if it was not imported; after a failure it is tried again. */
export function loadOnce(): Promise<Amqplib> {
  return loading ??= load().catch((error) => {
    loading = undefined;
    throw error;
  });
}

/** Loads a copy of amqplib of our own, patched; where there is none to be had, amqplib as it is. */
async function load(): Promise<Amqplib> {
  let shared: Amqplib;
  try {
    shared = exportsOf(await import("amqplib"), "connect");
  } catch (cause) {
    throw cannotLoad("amqp", cause);
  }
  for (const specifier of ["amqplib", "npm:amqplib@2.3.1"]) {
    try {
      const own = requirePatched(
        requireFrom(import.meta.resolve(specifier)),
        Buffer.alloc,
      );
      if (isAmqplib(own)) return own;
    } catch {
      // Not by this name: a bundler has it, or a registry's own loader.
    }
  }
  return shared;
}

type Amqplib = Pick<typeof import("amqplib"), "connect" | "credentials">;

function isAmqplib(value: unknown): value is Amqplib {
  return typeof value === "object" && value !== null && "connect" in value &&
    "credentials" in value;
}
