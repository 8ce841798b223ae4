import type { Limits } from "../../async/limits.ts";
import type { CallOptions } from "../../model/call_options.ts";
import { AuthenticationError, TimeoutError } from "../../model/errors.ts";
import { type Endpoint, formatEndpoint } from "./endpoint.ts";

/**
 * Bounds the function that is asked for an endpoint's password: one that never answers
 * must not keep a connection from being tried again.
 *
 * @param endpoint The endpoint.
 * @param limits The limits of the session.
 * @param call How long it may take, where the asking says nothing else.
 * @returns The function to ask, if there is one.
 */
export function boundedPassword(
  endpoint: Endpoint,
  limits: Limits,
  call: CallOptions,
): ((call?: CallOptions) => Promise<string>) | undefined {
  const { password } = endpoint;
  if (password === undefined) return undefined;
  const cannot = () => `Cannot connect to "${formatEndpoint(endpoint)}"`;
  return async (given = call) => {
    try {
      return await limits.wait(
        (async () => await password())(),
        given,
        () =>
          new TimeoutError(
            `${cannot()} in time: the function that is asked for the password has not answered`,
            { outcome: "not-sent" },
          ),
      );
    } catch (cause) {
      if (given.signal?.aborted || cause instanceof TimeoutError) throw cause;
      throw new AuthenticationError(
        `${cannot()}: the function that is asked for the password failed; its error is the cause`,
        { cause, outcome: "not-sent" },
      );
    }
  };
}
