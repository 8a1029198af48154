"""The bare peer: picows, orjson and hiredis alone, as the limit of what Python can do on one core.

It speaks just enough of Socket.IO to be asked the same questions: a point is read, checked for its
ranges, and written to the subscribers of the trips in its driver's token, here and, through Redis,
on other instances. No token is verified, no rider's right is checked, nothing is stored or counted.

    python -m bench.peers.bare

Environment: HOST, PORT (0 is any free one), REDIS_URL.
"""

import asyncio
import base64
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import orjson
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from realtime.redis_address import RedisAddress
from realtime.redis_link import Connection, command

PING_INTERVAL_S: Final = 25
PING_TIMEOUT_S: Final = 20
MAX_FRAME: Final = 256 * 1024
BACKLOG: Final = 1_024
MAX_UNSENT: Final = 8 * 1024 * 1024

_ORIGIN_SIZE: Final = 8
_OPEN: Final = b"0"
_PING: Final = b"2"
_CONNECT: Final = b"40"
_EVENT: Final = b"42"
_ACKNOWLEDGEMENT: Final = b"43"
_DISCONNECT: Final = b"41"


class Rooms:
    """Who is connected, and who has subscribed what."""

    def __init__(self, publisher: Connection, subscriber: Connection) -> None:
        self.everybody: set[WSTransport] = set()
        self._subscribers: defaultdict[bytes, set[WSTransport]] = defaultdict(set)
        """By the channel of their trip."""
        self._confirmed: defaultdict[bytes, list[Callable[[], None]]] = defaultdict(list)
        self._origin = os.urandom(_ORIGIN_SIZE)
        """Begins each message from here, which comes back through Redis if it is wanted here."""
        self._publisher = publisher
        self._subscriber = subscriber
        subscriber.on_reply = self._hear

    @classmethod
    async def open(cls, redis_url: str) -> "Rooms":
        address = RedisAddress.parse(redis_url)
        publisher = await address.connect(lambda: Connection(MAX_UNSENT))
        return cls(publisher, await address.connect(lambda: Connection(MAX_UNSENT)))

    def subscribe(self, trip_id: str, transport: WSTransport, then: Callable[[], None]) -> None:
        """Call `then` as soon as locations of other instances come."""
        channel = _channel(trip_id)
        self._subscribers[channel].add(transport)
        self._confirmed[channel].append(then)
        self._subscriber.send(command(b"SUBSCRIBE", channel))

    def unsubscribe(self, trip_id: str, transport: WSTransport) -> None:
        self._subscribers[_channel(trip_id)].discard(transport)

    def publish(self, trip_id: str, packet: bytes) -> None:
        channel = _channel(trip_id)
        self._write(channel, packet)
        self._publisher.send(command(b"PUBLISH", channel, self._origin + packet))

    async def ping_regularly(self) -> None:
        while True:
            await asyncio.sleep(PING_INTERVAL_S)
            for transport in self.everybody:
                transport.send(WSMsgType.TEXT, _PING)

    def _hear(self, reply: object) -> None:
        if not isinstance(reply, list):
            raise TypeError(f"Redis refused a subscription: {reply}")
        kind, channel, content = reply
        if kind == b"subscribe":
            for then in self._confirmed.pop(channel, ()):  # none, where several asked at once
                then()
        elif not content.startswith(self._origin):
            self._write(channel, content[_ORIGIN_SIZE:])

    def _write(self, channel: bytes, packet: bytes) -> None:
        for transport in self._subscribers[channel]:
            transport.send(WSMsgType.TEXT, packet)


def _channel(trip_id: str) -> bytes:
    return b"bare:" + trip_id.encode()


class Client(WSListener):
    """One connection."""

    def __init__(self, rooms: Rooms) -> None:
        self._rooms = rooms
        self._claims: dict[str, Any] = {}
        self._subscribed: set[str] = set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._rooms.everybody.add(transport)
        opening = {
            "sid": str(id(self)),
            "upgrades": [],
            "pingInterval": PING_INTERVAL_S * 1000,
            "pingTimeout": PING_TIMEOUT_S * 1000,
            "maxPayload": MAX_FRAME,
        }
        self._write(_OPEN, opening)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._rooms.everybody.discard(transport)
        for trip_id in self._subscribed:
            self._rooms.unsubscribe(trip_id, transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self._take(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def _take(self, packet: bytes) -> None:
        if packet.startswith(_EVENT):
            start = packet.index(b"[")
            event, payload = orjson.loads(packet[start:])
            if event == "driver:location":
                self._locate(payload)
            else:
                self._command(packet[2:start], event, payload)
        elif packet.startswith(_CONNECT):
            self._connect(orjson.loads(packet[2:]))
        elif packet.startswith(_DISCONNECT):
            self._transport.disconnect()

    def _connect(self, auth: dict[str, str]) -> None:
        self._claims = _claims(auth["token"])
        self._write(_CONNECT, {"sid": str(id(self))})
        ready = {
            "user_id": self._claims["sub"],
            "role": self._claims["role"],
            "protocol": 1,
            "server_time": time.time_ns() // 1_000_000,
            "expires_at": self._claims["exp"] * 1000,
            "trips": [],
            "conversations": [],
        }
        self._write(_EVENT, ["session:ready", ready])

    def _locate(self, point: dict[str, Any]) -> None:
        if not (-90 <= point["lat"] <= 90 and -180 <= point["lng"] <= 180 and point["ts"] >= 0):
            return
        for trip_id in self._claims["trips"]:
            location = _EVENT + orjson.dumps(["trip:location", {"trip_id": trip_id, **point}])
            self._rooms.publish(trip_id, location)

    def _command(self, number: bytes, event: str, payload: dict[str, str]) -> None:
        """`number` is what its answer goes by."""
        answer = partial(self._write, _ACKNOWLEDGEMENT + number)
        trip_id = payload["trip_id"]
        done = [{"ok": True, "trip": {"id": trip_id}}]
        if event == "trip:subscribe":
            self._subscribed.add(trip_id)
            self._rooms.subscribe(trip_id, self._transport, partial(answer, done))
        elif event == "trip:unsubscribe":
            self._subscribed.discard(trip_id)
            self._rooms.unsubscribe(trip_id, self._transport)
            answer(done)
        else:
            answer([{"ok": False, "error": {"code": "unknown_event", "message": event}}])

    def _write(self, kind: bytes, payload: object) -> None:
        self._transport.send(WSMsgType.TEXT, kind + orjson.dumps(payload))


def _claims(token: str) -> dict[str, Any]:
    """What a token says, believed as it is."""
    encoded = token.split(".")[1]
    claims: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(encoded + "=="))
    return {"trips": [], **claims}


async def main() -> None:
    rooms = await Rooms.open(os.environ["REDIS_URL"])

    def listener(_request: WSUpgradeRequest) -> Client:
        return Client(rooms)

    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "0"))
    server = await ws_create_server(listener, host, port, max_frame_size=MAX_FRAME, backlog=BACKLOG)
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    pinging = asyncio.create_task(rooms.ping_regularly())
    host, port = server.sockets[0].getsockname()[:2]
    sys.stdout.write(f"listens on http://{host}:{port}\n")
    sys.stdout.flush()
    await stopping.wait()
    pinging.cancel()
    server.close()


if __name__ == "__main__":
    uvloop.run(main())
