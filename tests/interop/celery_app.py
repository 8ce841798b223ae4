"""Tasks for the tests' Celery worker. The environment says which broker."""

import json
import os

from celery import Celery

app = Celery("dashi", broker=os.environ["DASHI_BROKER"],
             backend=os.environ["DASHI_BACKEND"])
app.conf.update(
    accept_content=["json", "yaml", "msgpack"],
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ["DASHI_OPTIONS"]),
    worker_enable_soft_shutdown_on_idle=False,
)


@app.task(name="dashi.add")
def add(x, y):
    return x + y


@app.task(name="dashi.echo", bind=True)
def echo(self, *args, **kwargs):
    return {"args": args, "kwargs": kwargs, "lang": self.request.get("lang"),
            "custom": self.request.headers.get("custom") if self.request.headers else None}


@app.task(name="dashi.fail")
def fail(text):
    raise ValueError(text, 7)
