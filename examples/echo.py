"""Sends back what it is sent, over Socket.IO and over Engine.IO alone.

`.venv/bin/python examples/echo.py` serves both on port 3000, where the official suites look for it.
"""

from aiohttp import web
from realtime.engine import Limits
from realtime.gateway import Gateway
from realtime.messages import Messages, send
from realtime.plain import PlainNamespace

LIMITS = Limits(ping_interval_s=0.3, ping_timeout_s=0.2, max_payload=1_000_000, connect_within_s=1)


def add_socketio(app: web.Application, limits: Limits) -> Gateway:
    gateway = Gateway(limits, cors_allowed_origins="*")
    for name in ("/", "/custom"):
        namespace = PlainNamespace(name)
        namespace.on("connect")(lambda client: client.emit("auth", client.auth))
        namespace.on("message")(lambda client, *values: client.emit("message-back", *values))
        namespace.on("message-with-ack")(lambda _client, *values: values)
        gateway.add(namespace)
    gateway.attach(app)
    return gateway


def add_engineio(app: web.Application, limits: Limits) -> Messages:
    echo = Messages(send, limits, cors_allowed_origins="*")
    echo.attach(app)
    return echo


if __name__ == "__main__":
    app = web.Application()
    add_socketio(app, LIMITS)
    add_engineio(app, LIMITS)
    web.run_app(app, host="127.0.0.1", port=3000)
