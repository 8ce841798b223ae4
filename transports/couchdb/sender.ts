/** `fetch`, or what does the same. */
export interface Sender {
  /** Sends a request. */
  send(url: string, init: RequestInit): Promise<Response>;
  /** Closes what is kept open for the next request. */
  close(): void;
}
