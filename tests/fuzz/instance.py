"""A server for fuzzers: its gateway, rides and handlers, on stores and transports in memory.

Without sockets hundreds of inputs a second get through, and each is all that causes what it does.
"""

import asyncio
from typing import Any, Final

import msgspec
from engineio.exceptions import EngineIOError
from engineio.packet import MESSAGE
from msgspec import Raw

from models.identity import Identity
from realtime import dispatch
from realtime.buckets import Rate
from realtime.engine import Socket
from realtime.gateway import Gateway
from realtime.identities import Identities
from realtime.metrics import Metrics
from realtime.proxies import Origin
from realtime.recent_revocations import RecentRevocations
from realtime.redis_address import RedisAddress
from realtime.revocations import Revocations
from realtime.rides import Rides
from realtime.sessions import Sessions
from realtime.tasks import Tasks
from realtime.tokens import Secret, TokenRules, Tokens
from tests.handlers.world import World
from tests.hostile.raw import JSON, Codec, message
from tests.realtime.joining import Channels, following_of

SECRET: Final = Secret("the secret of a fuzzer that is long enough to sign with")
NO_REDIS: Final = RedisAddress.parse("redis://127.0.0.1:1").client()
MANY_TURNS: Final = 10_000
"""Of the loop: what has not happened after so many never will."""


class Wire(asyncio.Transport):
    """A transport in memory: what was written stays, and nobody is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


def frames(written: bytes) -> list[tuple[int, bytes]]:
    """What a server wrote, as opcode and payload (RFC 6455, section 5.2: never masked)."""
    found, at = [], 0
    while at < len(written):
        opcode, size = written[at] & 0x0F, written[at + 1]
        at += 2
        if size > 125:
            digits = 2 if size == 126 else 8
            size = int.from_bytes(written[at : at + digits])
            at += digits
        found.append((opcode, written[at : at + size]))
        at += size
    assert at == len(written), "a frame was cut off"
    return found


def _new_socket(instance: "Instance") -> Socket:
    engine = instance.gateway.engine
    socket = Socket(engine, engine.generate_id(), "", Origin("192.0.2.1", "192.0.2.1"))
    engine.sockets[socket.sid] = socket
    return socket


class Peer:
    """A client on a WebSocket without a network."""

    def __init__(self, instance: "Instance", parser: str) -> None:
        self.wire = Wire()
        self.codec = Codec(parser)
        self.socket = _new_socket(instance)
        self._websocket = self.socket._new_websocket()
        self._websocket._transport = self.wire
        self.socket.attach(self._websocket)
        self._asked = 0

    @property
    def is_open(self) -> bool:
        return not self.socket.closed

    def receives(self, data: bytes) -> None:
        """These bytes come from the client."""
        self._websocket.data_received(data)

    def send(self, packet: str | bytes) -> None:
        self.receives(message(packet))

    def packets(self) -> list[tuple[int, int | None, Any]]:
        """What it was sent until now, as kind, acknowledgement id and data."""
        texts = {True: lambda data: data, False: lambda data: data.decode()}
        return [
            self.codec.read(texts[opcode == 2](data))
            for opcode, data in frames(bytes(self.wire.written))
            if opcode in (1, 2) and (opcode == 2 or data[:1] == b"4")
        ]

    def answer(self, ack_id: int) -> Any:
        """What the command was answered with, None as long as it was not. Once, and no more."""
        answers = [data[0] for kind, given, data in self.packets() if (kind, given) == (3, ack_id)]
        assert len(answers) <= 1, answers
        return answers[0] if answers else None

    async def hears(self, event: str) -> None:
        for _ in range(MANY_TURNS):
            if any(kind == 2 and data[0] == event for kind, _, data in self.packets()):
                return
            await asyncio.sleep(0)
        raise AssertionError(f"no {event} came")

    async def call(self, event: str, payload: Raw) -> Any:
        """Give a command, and wait for its answer."""
        self._asked += 1
        arguments = (msgspec.json if self.codec.name == "json" else msgspec.msgpack).encode
        self.send(self.codec.event(Raw(arguments([event, payload])), self._asked))
        for _ in range(MANY_TURNS):
            if (answer := self.answer(self._asked)) is not None:
                return answer
            if not self.is_open:
                break
            await asyncio.sleep(0)
        raise AssertionError(f"{event} got no answer")


class _Body:
    """A request's body, where python-engineio finds it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    async def readexactly(self, size: int) -> bytes:
        return self._data[:size]


class Poller:
    """A client that polls, without a network."""

    def __init__(self, instance: "Instance") -> None:
        self._socket = _new_socket(instance)
        self._socket.connected = True

    @property
    def is_open(self) -> bool:
        return not self._socket.closed

    async def post(self, body: bytes) -> bool:
        """Whether the body was taken."""
        request = {"CONTENT_LENGTH": str(len(body)), "wsgi.input": _Body(body)}
        try:
            await self._socket.handle_post_request(request)
        except EngineIOError:
            return False
        return True

    async def settles(self) -> None:
        """All that was posted has been worked off."""
        for _ in range(MANY_TURNS):
            session = self._socket.state
            if session is None or not any(each.working for each in session.clients.values()):
                return
            await asyncio.sleep(0)
        raise AssertionError("a command does not end")

    def packets(self) -> list[tuple[int, int | None, Any]]:
        """What waits for its next poll, as kind, acknowledgement id and data."""
        found, queue = [], self._socket.queue
        while not queue.empty():
            waiting = queue.get_nowait()
            if waiting.packet_type == MESSAGE:
                codec = Codec("msgpack" if waiting.binary else "json")
                data = waiting.data if waiting.binary else "4" + waiting.data
                found.append(codec.read(data))
        return found


class Instance:
    """Everything between a transport and the stores, as `realtime.app` puts it together."""

    def __init__(self, metrics: Metrics) -> None:
        """Metrics may serve one instance after another: they are slow to make."""
        self.world = world = World()
        self.tasks = tasks = Tasks()
        self._tokens = Tokens(TokenRules(secrets=(SECRET,)), world.clock)
        self._revocations = Revocations(
            world.stores, RecentRevocations(NO_REDIS, world.clock), world.clock
        )
        following = following_of(world, tasks, Channels())
        sessions = Sessions(
            identities=Identities(self._tokens, self._revocations),
            following=following,
            publish=world.publish,
            clock=world.clock,
            metrics=metrics,
            per_user=100,
            per_link=100,
            reports=Rate.of(1_000),
        )
        handlers = dispatch.Handlers(
            sessions=sessions,
            following=following,
            drivers=world.drivers,
            locations=world.locations,
            trips=world.trips,
            chat=world.chat,
            metrics=metrics,
        )
        rides = Rides(
            sessions=sessions,
            commands=dispatch.commands(handlers),
            locate=dispatch.locate(handlers),
            allow=lambda _caller, _place: None,
            tasks=tasks,
            metrics=metrics,
            pending=200,
        )
        self.gateway = Gateway()
        self.gateway.add(rides)

    async def open(self) -> None:
        await self._revocations.load()

    async def close(self) -> None:
        await self.tasks.stop()
        self.gateway.engine.wheel.stop()

    def token_of(self, caller: Identity) -> str:
        trips = sorted(caller.trips)
        return self._tokens.mint(caller.role, caller.user_id, ttl_s=600, trips=trips)

    async def connect(self, caller: Identity, parser: str) -> Peer:
        """A client that has heard `session:ready`."""
        peer = Peer(self, parser)
        peer.send(peer.codec.connect({"token": self.token_of(caller), "device": "phone"}))
        await peer.hears("session:ready")
        return peer

    async def poll(self, caller: Identity) -> Poller:
        """The same for one that polls; what it was told until now is not in its packets."""
        poller = Poller(self)
        auth = {"token": self.token_of(caller), "device": "phone"}
        await poller.post(str(JSON.connect(auth)).encode())
        await poller.settles()
        poller.packets()
        return poller
