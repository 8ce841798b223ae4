import type { MessageProperties } from "../../model/message.ts";
import type { FrameWriter } from "./frame_writer.ts";

/**
 * Writes a message's properties: the flags of those that are there, and then those.
 *
 * @param writer The writer of the frame.
 * @param properties The properties.
 * @throws {EncodeError} If one cannot be encoded.
 */
export function writeProperties(
  writer: FrameWriter,
  properties: MessageProperties,
): void {
  const { headers, deliveryMode, priority, expiration, timestamp } = properties;
  const { contentType, contentEncoding, correlationId, replyTo } = properties;
  const { messageId, type, userId, appId } = properties;
  let flags = 0;
  if (contentType !== undefined) flags |= 0x8000;
  if (contentEncoding !== undefined) flags |= 0x4000;
  if (headers !== undefined) flags |= 0x2000;
  if (deliveryMode !== undefined) flags |= 0x1000;
  if (priority !== undefined) flags |= 0x0800;
  if (correlationId !== undefined) flags |= 0x0400;
  if (replyTo !== undefined) flags |= 0x0200;
  if (expiration !== undefined) flags |= 0x0100;
  if (messageId !== undefined) flags |= 0x0080;
  if (timestamp !== undefined) flags |= 0x0040;
  if (type !== undefined) flags |= 0x0020;
  if (userId !== undefined) flags |= 0x0010;
  if (appId !== undefined) flags |= 0x0008;
  writer.short(flags);
  if (contentType !== undefined) writer.shortString(contentType);
  if (contentEncoding !== undefined) writer.shortString(contentEncoding);
  if (headers !== undefined) writer.table(headers);
  if (deliveryMode !== undefined) {
    writer.octet(deliveryMode === "persistent" ? 2 : 1);
  }
  if (priority !== undefined) writer.octet(priority);
  if (correlationId !== undefined) writer.shortString(correlationId);
  if (replyTo !== undefined) writer.shortString(replyTo);
  if (expiration !== undefined) writer.shortString(String(expiration));
  if (messageId !== undefined) writer.shortString(messageId);
  if (timestamp !== undefined) {
    writer.longlong(Math.max(0, Math.floor(timestamp.getTime() / 1000)));
  }
  if (type !== undefined) writer.shortString(type);
  if (userId !== undefined) writer.shortString(userId);
  if (appId !== undefined) writer.shortString(appId);
}
