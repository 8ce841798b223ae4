/**
 * RabbitMQ's pseudo-queue: a consumer of it gets the answers to the requests that are published on
 * the same channel. LavinMQ has it, too. Deliveries of it are not counted: their tags are
 * no tags.
 */
export const DIRECT_REPLY_TO = "amq.rabbitmq.reply-to";
