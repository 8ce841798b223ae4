"""Takes an order that orders.ts sent, and sends its receipt, by Kombu."""

import os

from kombu import Connection, Queue

url = os.environ.get("DASHI_URL", "amqp://guest:guest@localhost//")
orders = Queue("orders.python")
receipts = Queue("receipts")


def handle(order, message):
    year = order["ordered"].year  # a datetime, as it was a Date
    print("order", order["id"], "of", year)
    producer.publish({"order": order["id"], "year": year},
                     routing_key="receipts", declare=[receipts])
    message.ack()


with Connection(url) as connection:
    producer = connection.Producer()
    with connection.Consumer(orders, callbacks=[handle]):
        connection.drain_events(timeout=60)
