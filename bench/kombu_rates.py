"""Kombu beside: publishes and consumes 1 KiB messages one by one, its only way,
and prints how many a second. Arguments: the URL, how many to publish, how many to consume.
"""

import json
import sys
import time

from kombu import Connection, Consumer, Producer, Queue

url, published, consumed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
body = b"a" * 1024
name = "dashi-bench-kombu"

with Connection(url) as connection:
    channel = connection.channel()
    queue = Queue(name, channel=channel)
    queue.declare()
    queue.purge()
    producer = Producer(channel)
    began = time.perf_counter()
    for _ in range(published):
        producer.publish(body, routing_key=name, headers={"n": "x"},
                         content_type="application/data", content_encoding="binary")
    publish = published / (time.perf_counter() - began)
    seen = 0

    def take(_body, message):
        global seen
        message.ack()
        seen += 1

    with Consumer(channel, [queue], callbacks=[take],
                  accept=["application/data"], prefetch_count=200):
        began = time.perf_counter()
        while seen < consumed:
            connection.drain_events(timeout=5)
        consume = consumed / (time.perf_counter() - began)
    queue.purge()
    queue.delete()
print(json.dumps({"publish": publish, "consume": consume}))
