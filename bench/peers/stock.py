"""The stock peer: python-socketio and its Redis manager as they come, doing what Ridewire does.

Checks tokens, who belongs to a trip, and every point; keeps each driver's newest point in Redis,
written in bulk; stores messages in MongoDB before it acknowledges them; counts for Prometheus.
Which trips somebody belongs to stands in the token's claim `trips`.

    python -m bench.peers.stock

Environment: HOST, PORT (0 is any free one), JWT_SECRET, REDIS_URL, MONGODB_URL.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

import jwt
import msgspec
import socketio
import uvloop
from aiohttp import web
from motor.motor_asyncio import AsyncIOMotorClient
from msgspec import Meta, Struct
from prometheus_client import Counter, Gauge, generate_latest
from pymongo import ASCENDING, WriteConcern
from pymongo.errors import DuplicateKeyError, PyMongoError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from socketio.exceptions import ConnectionRefusedError as Refusal

from models.fields import Id, Millis
from models.messages import Text
from models.points import Point

_log = logging.getLogger(__name__)

FLUSH_S: Final = 0.1
SIGHTING_TTL_S: Final = 86_400
FUTURE_MS: Final = 5_000
SUBSCRIBED_POLL_S: Final = 0.01
MAX_FRAME: Final = 256 * 1024
BACKLOG: Final = 1_024
REDIS_CONNECTIONS: Final = 2_000
"""With redis-py's own 100 many publications at once fail, and are tried again."""
PARTIES: Final = ("driver", "rider")

Answer = dict[str, Any]


class Claims(Struct, frozen=True):
    """Who somebody is, as a token says it."""

    sub: Id
    role: Literal["driver", "rider", "agent", "service", "viewer"]
    exp: Annotated[int, Meta(ge=0)]
    trips: frozenset[Id] = frozenset()


class OfTrip(Struct, frozen=True):
    trip_id: Id


class Draft(Struct, frozen=True):
    conversation_id: Id
    client_id: Id
    text: Text


class Refused(Exception):
    """Why a command is not done, as it is answered."""

    def __init__(self, code: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        error = {"code": code, "message": message, "retry": retry}
        self.answer: Answer = {"ok": False, "error": error}


class Peer:
    """One server process. `app` is what is to be served."""

    def __init__(self, secret: str, redis_url: str, mongodb_url: str) -> None:
        self._secret = secret
        self._redis = Redis.from_url(redis_url)
        self._mongodb: AsyncIOMotorClient[Any] = AsyncIOMotorClient(mongodb_url)
        self._messages = self._mongodb.get_default_database().get_collection(
            "messages", write_concern=WriteConcern("majority", j=True)
        )
        self._clients: dict[str, Claims] = {}
        self._newest: dict[Id, Point] = {}
        self._unsaved: dict[Id, Point] = {}
        self._points = Counter("points", "Points of drivers by outcome.", ("outcome",))
        self._connections = Gauge("connections", "Open connections.")
        # aiohttp compresses frames for clients that offer it; the benchmark's do not.
        self._sio = socketio.AsyncServer(
            async_mode="aiohttp",
            client_manager=socketio.AsyncRedisManager(
                redis_url, redis_options={"max_connections": REDIS_CONNECTIONS}
            ),
            async_handlers=False,  # cheaper than a task for each event, and keeps them in order
            transports=["websocket"],
            http_compression=False,
            max_http_buffer_size=MAX_FRAME,
        )
        self._listen()
        self.app = web.Application()
        self._sio.attach(self.app)
        self.app.router.add_get("/metrics", _exposition)

    async def start(self) -> None:
        await self._messages.create_index(
            [("conversation_id", ASCENDING), ("sender_id", ASCENDING), ("client_id", ASCENDING)],
            unique=True,
        )
        await self._hear_others()
        self._flushing = asyncio.create_task(self._flush_regularly())

    async def stop(self) -> None:
        self._flushing.cancel()
        await self._sio.shutdown()
        await self._flush()
        await self._redis.aclose()
        self._mongodb.close()

    async def _hear_others(self) -> None:
        """Subscribe now: else it is done beside the first client's arrival, which misses events."""
        before = await self._subscriptions()
        self._sio.manager_initialized = True
        self._sio.manager.initialize()
        while await self._subscriptions() == before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(SUBSCRIBED_POLL_S)

    async def _subscriptions(self) -> int:
        """Of all instances, to the channel between them."""
        ((_channel, count),) = await self._redis.pubsub_numsub(self._sio.manager.channel)
        return int(count)

    def _listen(self) -> None:
        self._sio.on("connect", self._connect)
        self._sio.on("disconnect", self._disconnect)
        self._sio.on("driver:location", self._locate)
        self._command("trip:subscribe", self._subscribe)
        self._command("trip:unsubscribe", self._unsubscribe)
        self._command("chat:send", self._send)

    def _command(self, event: str, work: Callable[[str, object], Awaitable[Answer]]) -> None:
        """Answer a command with what its work returns, or with why it was refused."""

        async def answered(sid: str, payload: object = None) -> Answer:
            try:
                return await work(sid, payload)
            except Refused as refused:
                return refused.answer
            except msgspec.ValidationError as error:
                return Refused("invalid", str(error)).answer
            except PyMongoError as error:
                _log.error("MongoDB: %s", error)
                return Refused("unavailable", "the outcome is unknown", retry=True).answer

        self._sio.on(event, answered)

    async def _connect(self, sid: str, _environ: object, auth: object = None) -> None:
        claims = self._identify(auth)
        self._clients[sid] = claims
        self._connections.inc()
        if claims.role in PARTIES:
            for trip_id in claims.trips:
                await self._sio.enter_room(sid, _chat_room(trip_id))
        # What is emitted from here would overtake the acceptance of the connection.
        self._sio.start_background_task(self._greet, sid, claims)

    def _identify(self, auth: object) -> Claims:
        """Raise Refusal for a token that is not to be believed."""
        try:
            token = auth["token"] if isinstance(auth, dict) else ""
            return msgspec.convert(jwt.decode(token, self._secret, ["HS256"]), Claims)
        except jwt.ExpiredSignatureError:
            raise Refusal("token_expired", {"code": "token_expired"}) from None
        except (jwt.InvalidTokenError, msgspec.ValidationError, KeyError):
            raise Refusal("unauthorized", {"code": "unauthorized"}) from None

    async def _greet(self, sid: str, claims: Claims) -> None:
        ready = {
            "user_id": claims.sub,
            "role": claims.role,
            "protocol": 1,
            "server_time": _now(),
            "expires_at": claims.exp * 1000,
            "trips": [],
            "conversations": [],
        }
        await self._sio.emit("session:ready", ready, to=sid)

    async def _disconnect(self, sid: str, _reason: str) -> None:
        if self._clients.pop(sid, None) is not None:
            self._connections.dec()

    async def _locate(self, sid: str, payload: object = None) -> None:
        client = self._clients[sid]
        if client.role != "driver":
            return
        try:
            point = msgspec.convert(payload, Point)
        except msgspec.ValidationError:
            self._points.labels("invalid").inc()
            return
        outcome = self._judge(client.sub, point)
        self._points.labels(outcome).inc()
        if outcome != "accepted":
            return
        self._newest[client.sub] = self._unsaved[client.sub] = point
        for trip_id in client.trips:
            location = {"trip_id": trip_id, **msgspec.to_builtins(point)}
            await self._sio.emit("trip:location", location, room=_trip_room(trip_id))

    def _judge(self, driver_id: Id, point: Point) -> str:
        if point.ts > _now() + FUTURE_MS:
            return "future"
        newest = self._newest.get(driver_id)
        return "stale" if newest is not None and point.ts <= newest.ts else "accepted"

    async def _subscribe(self, sid: str, payload: object) -> Answer:
        trip_id = msgspec.convert(payload, OfTrip).trip_id
        if trip_id not in self._clients[sid].trips:
            raise Refused("not_found", "no such trip")
        await self._sio.enter_room(sid, _trip_room(trip_id))
        return {"ok": True, "trip": {"id": trip_id}}

    async def _unsubscribe(self, sid: str, payload: object) -> Answer:
        await self._sio.leave_room(sid, _trip_room(msgspec.convert(payload, OfTrip).trip_id))
        return {"ok": True}

    async def _send(self, sid: str, payload: object) -> Answer:
        client, draft = self._clients[sid], msgspec.convert(payload, Draft)
        if client.role not in PARTIES or draft.conversation_id not in client.trips:
            raise Refused("not_found", "no such conversation")
        message = {"sender_id": client.sub, **msgspec.to_builtins(draft)}
        return {"ok": True, "message": await self._stored(sid, message)}

    async def _stored(self, sid: str, message: dict[str, Any]) -> dict[str, Any]:
        """Store it and tell the others; a retried one is there already, and they were told."""
        document = {**message, "kind": "text", "sent_at": _now()}
        try:
            await self._messages.insert_one(document)  # adds its `_id`
        except DuplicateKeyError:
            by_client_id = {name: message[name] for name in message if name != "text"}
            return _shown(await self._messages.find_one(by_client_id) or document)
        shown = _shown(document)
        room = _chat_room(message["conversation_id"])
        await self._sio.emit("chat:message", shown, room=room, skip_sid=sid)
        return shown

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            try:
                await self._flush()
            except (RedisError, OSError) as error:
                _log.error("Redis: %s", error)

    async def _flush(self) -> None:
        if not self._unsaved:
            return
        writing, self._unsaved = self._unsaved, {}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for driver_id, point in writing.items():
                    stored = json.dumps(msgspec.to_builtins(point))
                    pipe.set(f"sighting:{driver_id}", stored, ex=SIGHTING_TTL_S)
                await pipe.execute()
        except (RedisError, OSError):
            self._unsaved = writing | self._unsaved
            raise


def _trip_room(trip_id: Id) -> str:
    return f"trip:{trip_id}"


def _chat_room(conversation_id: Id) -> str:
    return f"chat:{conversation_id}"


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    """A stored message as clients get it."""
    return {"id": str(document["_id"]), **{k: v for k, v in document.items() if k != "_id"}}


def _now() -> Millis:
    return time.time_ns() // 1_000_000


async def _exposition(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), content_type="text/plain")


async def main() -> None:
    environ = os.environ
    peer = Peer(environ["JWT_SECRET"], environ["REDIS_URL"], environ["MONGODB_URL"])
    await peer.start()
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner = web.AppRunner(peer.app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    host, port = environ.get("HOST", "127.0.0.1"), int(environ.get("PORT", "0"))
    await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
    host, port = runner.addresses[0][:2]
    sys.stdout.write(f"listens on http://{host}:{port}\n")
    sys.stdout.flush()
    await stopping.wait()
    await peer.stop()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(main())
