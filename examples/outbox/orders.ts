/** What the server and its worker share: the queue, and the form of its messages. */

import { Queue } from "@dashi/mq";

/** An order that was placed. */
export interface Order {
  readonly id: number;
  readonly item: string;
}

/** The queue between the two. */
export const orders: Queue<Order> = new Queue<Order>("shop.orders");
