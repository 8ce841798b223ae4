/**
 * RabbitMQ's queue that is none: who consumes from it has the answers to what he publishes on
 * the same channel. LavinMQ has it, too. Deliveries of it are not counted: their tags are
 * no tags.
 */
export const DIRECT_REPLY_TO = "amq.rabbitmq.reply-to";
