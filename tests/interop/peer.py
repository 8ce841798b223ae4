"""A peer of the tests: Kombu on any broker. It does what lines of JSON on its
standard input say, one after the other, and answers each with a line.

Arguments: the broker's URL, and its transport options as JSON.
"""

import collections
import contextlib
import datetime
import decimal
import json
import socket
import sys
import time
import uuid

import kombu
from kombu import Connection, Exchange, Queue, binding

# What JSON cannot tell apart goes as an object of one key.


def show(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": bytes(value).hex()}
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:
            value = value.astimezone(datetime.timezone.utc)
        return {"$datetime": value.replace(tzinfo=None).isoformat()}
    if isinstance(value, datetime.date):
        return {"$date": value.isoformat()}
    if isinstance(value, datetime.time):
        return {"$time": value.isoformat()}
    if isinstance(value, decimal.Decimal):
        return {"$decimal": str(value)}
    if isinstance(value, uuid.UUID):
        return {"$uuid": str(value)}
    if isinstance(value, dict):
        return {key: show(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [show(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return {"$int": str(value)}
    if type(value).__name__ == "Timestamp":  # of MessagePack
        return {"$datetime": value.to_datetime().replace(tzinfo=None).isoformat()}
    return value


BUILD = {
    "$bytes": bytes.fromhex,
    "$datetime": datetime.datetime.fromisoformat,
    "$date": datetime.date.fromisoformat,
    "$time": datetime.time.fromisoformat,
    "$decimal": decimal.Decimal,
    "$uuid": uuid.UUID,
    "$int": int,
}


def build(value):
    if isinstance(value, list):
        return [build(each) for each in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        (key, text), = value.items()
        if key in BUILD:
            return BUILD[key](text)
    return {key: build(each) for key, each in value.items()}


def exchange_of(spec):
    if spec is None:
        return Exchange("")
    return Exchange(spec["name"], type=spec.get("type", "direct"),
                    durable=spec.get("durable", True))


def queue_of(spec):
    options = dict(spec.get("options", {}))
    bindings = [
        binding(exchange_of(each["exchange"]), each.get("routing_key", ""),
                arguments=build(each.get("arguments")))
        for each in spec.get("bindings", [])
    ]
    if bindings:
        return Queue(spec["name"], bindings=bindings, **options)
    return Queue(spec["name"], Exchange(""), spec["name"], **options)


def make_broadcasts(url):
    """Kombu needs a capped collection, which stand-ins for MongoDB may not have;
    it looks only whether one of that name is there, and uses it for fanout alone."""
    import pymongo
    with pymongo.MongoClient(url) as client:
        database = client.get_default_database("kombu_default")
        name = "messages.broadcast"
        for options in ({"size": 100_000, "capped": True}, {}):
            if name in database.list_collection_names():
                return  # the other side may be faster at any time
            try:
                database.create_collection(name, **options)
            except (pymongo.errors.CollectionInvalid,
                    pymongo.errors.OperationFailure) as error:
                refusal = error
            else:
                return
        if name not in database.list_collection_names():
            raise refusal


class Consumed:
    """A consumer on a channel of its own, and what has come by it."""

    def __init__(self, connection, specs, accept, prefetch, no_ack):
        self.channel = connection.channel()
        self.messages = collections.deque()
        self.consumer = kombu.Consumer(
            self.channel, [queue_of(spec) for spec in specs], accept=accept,
            no_ack=no_ack, prefetch_count=prefetch, on_message=self.messages.append)
        self.consumer.consume()

    def close(self):
        self.consumer.cancel()
        self.channel.close()


class Peer:
    def __init__(self, url, options):
        if url.startswith("mongodb"):
            make_broadcasts(url)
        self.connection = Connection(url, transport_options=options)
        self.producer = self.connection.Producer()
        self.consumed = {}
        self.held = {}

    def versions(self):
        return {"kombu": kombu.__version__, "python": sys.version.split()[0]}

    def declare(self, queues):
        for spec in queues:
            queue_of(spec)(self.connection.default_channel).declare()

    def delete(self, queue):
        queue_of(queue)(self.connection.default_channel).delete()

    def publish(self, body=None, times=1, exchange=None, routing_key="",
                declare=(), batch=False, **options):
        exchange = exchange_of(exchange)
        options["headers"] = build(options.get("headers", {}))
        entities = [queue_of(spec) for spec in declare]
        if exchange.name:
            entities.append(exchange)
        with self.producer.batch() if batch else contextlib.nullcontext():
            for i in range(times):
                self.producer.publish(
                    build(body) if body is not None else i, exchange=exchange,
                    routing_key=routing_key, declare=entities, **dict(options))

    def consume(self, key, queues, accept=None, prefetch=100, no_ack=False):
        self.consumed[key] = Consumed(
            self.connection, queues, accept, prefetch, no_ack)
        # Subscribing to a fanout is a part of waiting.
        self._drain(0.05)

    def take(self, key, count, then="ack", timeout=60):
        """Waits for so many messages; `then` is done with each: ack, requeue, reject or hold."""
        messages = self.consumed[key].messages
        end = time.monotonic() + timeout
        taken = []
        while len(taken) < count:
            while messages and len(taken) < count:
                taken.append(self._settle(messages.popleft(), then))
            if len(taken) == count:
                break
            if time.monotonic() > end:
                raise TimeoutError(f"{len(taken)} of {count} messages came")
            self._drain(0.25)
        return taken

    def quiet(self, key, timeout=0.3):
        """Waits whether anything comes; says how much."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self._drain(0.1)
        return len(self.consumed[key].messages)

    def cancel(self, key):
        self.consumed.pop(key).close()

    def get(self, queue, accept=None, then="ack"):
        message = queue_of(queue)(self.connection.default_channel).get(accept=accept)
        return None if message is None else self._settle(message, then)

    def settle(self, number, then):
        getattr(self.held.pop(number), then)()

    def simple_put(self, name, body):
        with self.connection.SimpleQueue(name) as queue:
            queue.put(build(body))

    def simple_get(self, name):
        with self.connection.SimpleQueue(name) as queue:
            return self._settle(queue.get(timeout=60), "ack")

    def sweep_bindings(self):
        return self.connection.default_channel.sweep_bindings()

    def redis(self, *command):
        """A command of Redis, in the database of the connection."""
        with self.connection.default_channel.conn_or_acquire() as client:
            answer = client.execute_command(*command)
        return plain(answer)

    def send_task(self, backend, name, args, kwargs, **options):
        """Sends a task as Celery's clients do; its result is asked for by `result`."""
        from celery import Celery
        app = Celery(broker=self.connection.as_uri(include_password=True),
                     backend=backend, set_as_current=False)
        app.conf.broker_transport_options = self.connection.transport_options
        self.sent = app.send_task(name, args=build(args), kwargs=build(kwargs), **options)
        return {"id": self.sent.id}

    def result(self, timeout=60):
        return show(self.sent.get(timeout=timeout))

    def _drain(self, timeout):
        try:
            self.connection.drain_events(timeout=timeout)
        except (socket.timeout, TimeoutError):
            pass

    def _settle(self, message, then):
        number = len(self.held) + 1
        if then == "hold":
            self.held[number] = message
        try:
            payload = {"payload": show(message.decode())}
        except Exception as error:
            payload = {"error": f"{type(error).__name__}: {error}"}
        info = message.delivery_info
        shown = {
            **payload,
            "number": number,
            "headers": show(message.headers),
            "content_type": message.content_type,
            "content_encoding": message.content_encoding,
            "properties": {
                key: message.properties.get(key)
                for key in ("correlation_id", "reply_to", "message_id", "type",
                            "delivery_mode", "priority", "expiration")
            },
            "exchange": info.get("exchange"),
            "routing_key": info.get("routing_key"),
            "redelivered": bool(info.get("redelivered")
                                or message.headers.get("redelivered")),
        }
        if then != "hold":
            getattr(message, then)()
        return shown


def plain(answer):
    if isinstance(answer, bytes):
        return answer.decode()
    if isinstance(answer, (list, tuple, set)):
        return [plain(each) for each in answer]
    if isinstance(answer, dict):
        return {plain(key): plain(each) for key, each in answer.items()}
    return answer


def main():
    peer = Peer(sys.argv[1], json.loads(sys.argv[2]))
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        try:
            method = getattr(peer, request["method"])
            answer = {"answer": method(*request.get("list", []),
                                       **request.get("arguments", {}))}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
