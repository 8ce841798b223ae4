"""A peer of the tests: Kombu on AMQP. Says what it sees as JSON, one line each."""

import datetime
import json
import sys

from kombu import Connection, Exchange, Queue


def show(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": list(bytes(value))}
    if isinstance(value, datetime.datetime):
        return {"datetime": value.replace(tzinfo=None).isoformat()}
    if isinstance(value, dict):
        return {key: show(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [show(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return {"int": str(value)}
    return value


def consume(connection, name, count):
    seen = []

    def on_message(message):
        seen.append(message)
        print(json.dumps({
            "payload": show(message.decode()),
            "headers": show(message.headers),
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            "properties": {
                key: message.properties.get(key)
                for key in ("correlation_id", "reply_to", "message_id", "type",
                            "delivery_mode", "priority", "expiration")
            },
            "routing_key": message.delivery_info["routing_key"],
        }), flush=True)
        message.ack()

    consumer = connection.Consumer([Queue(name, no_declare=True)], accept=["json", "text/plain", "application/data"])
    consumer.on_message = on_message
    with consumer:
        while len(seen) < count:
            connection.drain_events(timeout=10)


def publish(connection, name):
    producer = connection.Producer()
    moment = datetime.datetime(2024, 5, 6, 7, 8, 9)
    headers = {
        "small": 1, "negative": -7, "short": 300, "int": 2 ** 31 - 1,
        "long": 2 ** 31, "unsigned": 2 ** 53 - 1, "big": 2 ** 62, "float": 1.5,
        "text": "é", "yes": True, "none": None, "date": moment,
        "list": [1, "a", None], "table": {"deep": {"n": -1}},
        "bytes": b"\xff\x00",
    }
    queue = Queue(name, Exchange(""), name, no_declare=True)
    producer.publish({"hello": "world", "when": moment, "raw": b"\xff"},
                     routing_key=queue.name, headers=headers, correlation_id="c",
                     reply_to="r", message_id="m", type="t", priority=3, expiration=60)
    producer.publish("plain", routing_key=queue.name)
    producer.publish(b"\x00\xff", routing_key=queue.name)


if __name__ == "__main__":
    action, url, queue_name = sys.argv[1:4]
    with Connection(url) as peer:
        if action == "consume":
            consume(peer, queue_name, int(sys.argv[4]))
        else:
            publish(peer, queue_name)
