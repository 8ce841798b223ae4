/**
 * Reads the body of an answer, as it comes.
 *
 * @param body The body; `null` is an empty one.
 * @param signal The one that ends its request.
 * @param onText Called with each piece of it. Must not throw.
 * @throws The signal's reason, if it has aborted.
 */
export async function readBody(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
  onText: (text: string) => void,
): Promise<void> {
  const reader = body?.getReader();
  if (reader === undefined) return;
  // Deno forgets the signal of a request whose response was collected as garbage.
  const cancel = () => void reader.cancel().catch(() => {});
  signal.addEventListener("abort", cancel);
  const decoder = new TextDecoder();
  try {
    if (signal.aborted) cancel();
    for (;;) {
      const { value } = await reader.read();
      if (value === undefined) break;
      onText(decoder.decode(value, { stream: true }));
    }
  } finally {
    signal.removeEventListener("abort", cancel);
  }
  signal.throwIfAborted();
}

/**
 * Reads all of the body of an answer.
 *
 * @param body The body; `null` is an empty one.
 * @param signal The one that ends its request.
 * @returns What it says.
 * @throws The signal's reason, if it has aborted.
 */
export async function readText(
  body: ReadableStream<Uint8Array> | null,
  signal: AbortSignal,
): Promise<string> {
  let text = "";
  await readBody(body, signal, (piece) => text += piece);
  return text;
}
