/** A host of AWS's own, and the region in it. */
const AWS_HOST =
  /(?:^|\.)([a-z]+(?:-[a-z]+)+-\d+)\.(?:[a-z0-9-]+\.)*amazonaws\.com(?:\.cn)?$|(?:^|\.)amazonaws\.com(?:\.cn)?$/;

/**
 * Says whether a host is one of AWS's own.
 *
 * @param host The host's name.
 * @returns Whether it is.
 */
export function isAwsHost(host: string): boolean {
  return AWS_HOST.test(host);
}

/**
 * Finds the region that one of AWS's hosts is in.
 *
 * @param url A URL there, if there is one.
 * @returns The region; `undefined` where the host says none.
 */
export function regionOf(url: string | undefined): string | undefined {
  if (url === undefined) return undefined;
  return AWS_HOST.exec(new URL(url).hostname)?.[1];
}
