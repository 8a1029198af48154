"""The door: Socket.IO packets in, and to the namespace that they are for.

Source: Socket.IO protocol, revision 5. What a namespace means is its own affair: the rides are one
(`realtime.rides`), anything else may be another (`realtime.plain`), on one application or several.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Generic, TypeVar

from aiohttp import WSCloseCode, web
from msgspec import Raw

from realtime import wire
from realtime.engine import Engine, Limits, Server, Socket
from realtime.tasks import Tasks
from realtime.wire import Malformed, Packet, Parser

_NO_LIMITS: Final = Limits()
MAX_JOINS: Final = 20
"""How often a client may join a namespace over one transport, on average: each time its token is
checked, and what it follows is read. Newcomers are counted at the handshake.
"""

Direct = Callable[[Any, bytes], bool]
"""What takes the payload of an event right from its packet; False leaves it to the namespace."""


class Refused(Exception):
    """The client may not join the namespace: what its CONNECT_ERROR says."""

    def __init__(self, message: str, data: object = None) -> None:
        super().__init__(message)
        self.error = {"message": message} | ({} if data is None else {"data": data})


class NotNow(Exception):
    """The client may join a little later: its connection ends, and it comes back by itself."""


class Client:
    """A client in one namespace."""

    __slots__ = ("id", "namespace", "parser", "socket")

    def __init__(self, id: str, namespace: str, socket: Socket, parser: Parser) -> None:  # noqa: A002
        self.id = id
        self.namespace = namespace
        self.socket = socket
        self.parser = parser


C = TypeVar("C", bound=Client)


class Namespace(ABC, Generic[C]):
    """Whom a namespace's clients talk to. Every call returns at once; work is done in tasks."""

    name: str = wire.NAMESPACE
    direct: tuple[str, Direct] | None = None
    """The event of the main namespace that skips the parsing where it comes as JSON without an
    acknowledgement: its name, and what takes `(client, payload)`."""

    @abstractmethod
    def admit(self, socket: Socket, parser: Parser, auth: Raw) -> C | Callable[[], Awaitable[C]]:
        """Make a client of a socket that wants to join. Raises Refused and NotNow.

        If that takes a moment, return what does it in its own time; it is cancelled when the
        socket ends.
        """

    @abstractmethod
    def joined(self, client: C) -> None:
        """The client knows that it has joined: what is written now arrives after that."""

    @abstractmethod
    def event(self, client: C, packet: Packet, attachments: Sequence[bytes]) -> None:
        """Raises Malformed."""

    @abstractmethod
    def left(self, client: C, reason: str) -> None:
        """The client has left the namespace, or its transport has ended."""

    def acknowledged(self, client: C, packet: Packet, attachments: Sequence[bytes]) -> None:
        """The answer to an event that asked for one. Raises Malformed."""

    def caught_up(self, client: C) -> None:
        """The client was behind, and has caught up."""

    def malformed(self, client: C, error: Malformed) -> None:
        """The client sent what cannot be read, and is closed right after."""

    def too_large(self, client: C) -> None:
        """The client sent more than is taken, and is closed right after."""

    def fell_behind(self, client: C) -> None:
        """More waits for the client than may, and it is closed right after."""


class _Session:
    """What the gateway knows of a socket."""

    __slots__ = ("attachments", "clients", "joined", "joining", "main", "parser", "unfinished")

    def __init__(self, parser: Parser) -> None:
        self.parser = parser
        self.clients: dict[str, Client] = {}
        self.main: Client | None = None
        """The one in the main namespace, if its parser is the default one."""
        self.joined = 0
        """How often it wanted to join a namespace."""
        self.joining: dict[str, asyncio.Task[None]] = {}
        """The namespaces that it is not decided about yet."""
        self.unfinished: Packet | None = None
        """The packet that waits for its attachments."""
        self.attachments: list[bytes] = []


class Gateway:
    """A Socket.IO server for any namespaces."""

    def __init__(self, limits: Limits = _NO_LIMITS, **options: Any) -> None:  # noqa: ANN401
        """`options` are python-engineio's: `transports`, `cors_allowed_origins`."""
        self._server = Server(self, limits, **options)
        self.engine: Engine = self._server.eio
        self._limits = limits
        self._namespaces: dict[str, Namespace[Any]] = {}
        self._tasks = Tasks()
        self._direct: tuple[bytes, Direct] | None = None
        """How the packets of the event begin that skips the parsing, and what takes it."""

    def add(self, namespace: Namespace[Any]) -> None:
        """Open a namespace, in place of the one of the same name."""
        self._namespaces[namespace.name] = namespace
        if namespace.name == wire.NAMESPACE:
            self._direct = None
            if namespace.direct is not None:
                event, take = namespace.direct
                engines_own = 1  # a message's type, which is not Socket.IO's
                self._direct = (wire.event_head(event)[engines_own:], take)

    def attach(self, app: web.Application, path: str = "socket.io") -> None:
        """Serve under this path of an application, and end with it."""
        self._server.attach(app, path)

    def message(self, socket: Socket, data: bytes, binary: bool) -> None:
        """See `realtime.engine.Receiver`."""
        session: _Session | None = socket.state
        if session is None:  # what its first message is written in tells a client's parser
            session = socket.state = _Session(wire.MSGPACK if binary else wire.JSON)
        client, direct = session.main, self._direct
        if client is not None and direct is not None and not binary:
            head, take = direct
            if (
                data.startswith(head)
                and data.endswith(b"]")
                and session.unfinished is None
                and take(client, data[len(head) : -1])
            ):
                return
        try:
            self._read(socket, session, data, binary=binary)
        except Malformed as error:
            self._malformed(socket, error)

    def unreadable(self, socket: Socket) -> None:
        """See `realtime.engine.Receiver`."""
        self._malformed(socket, Malformed("no Engine.IO packet"))

    def too_large(self, socket: Socket) -> None:
        """See `realtime.engine.Receiver`."""
        for namespace, client in self._clients(socket):
            namespace.too_large(client)

    def fell_behind(self, socket: Socket) -> None:
        """See `realtime.engine.Receiver`."""
        for namespace, client in self._clients(socket):
            namespace.fell_behind(client)
        socket.end()

    def drained(self, socket: Socket) -> None:
        """See `realtime.engine.Receiver`."""
        for namespace, client in self._clients(socket):
            namespace.caught_up(client)

    def gone(self, socket: Socket, reason: str) -> None:
        """See `realtime.engine.Receiver`."""
        for namespace, client in self._clients(socket):
            namespace.left(client, reason)
        for joining in socket.state.joining.values() if socket.state else ():
            joining.cancel()
        socket.state = None

    def _clients(self, socket: Socket) -> list[tuple[Namespace[Any], Client]]:
        session = socket.state
        if session is None:
            return []
        return [(self._namespaces[name], client) for name, client in session.clients.items()]

    def _read(self, socket: Socket, session: _Session, data: bytes, *, binary: bool) -> None:
        unfinished = session.unfinished
        if unfinished is not None:
            self._attach(socket, session, unfinished, data, binary=binary)
            return
        if binary is not session.parser.binary:
            raise Malformed("text and binary messages mixed")
        packet = session.parser.packet(data)
        if packet.attachments:
            if packet.namespace not in session.clients:
                raise Malformed("attachments for a namespace that was not joined")
            session.unfinished = packet
        else:
            self._take(socket, session, packet, ())

    def _attach(
        self, socket: Socket, session: _Session, packet: Packet, data: bytes, *, binary: bool
    ) -> None:
        """A message that belongs to a packet; all of them are no larger than one may be."""
        session.attachments.append(data)
        total = sum(map(len, session.attachments))
        if not binary or total > self._limits.max_payload:
            raise Malformed("attachments were expected, and not so large", packet.ack_id)
        if len(session.attachments) == packet.attachments:
            attachments, session.attachments = session.attachments, []
            session.unfinished = None
            self._take(socket, session, packet, attachments)

    def _take(
        self, socket: Socket, session: _Session, packet: Packet, attachments: Sequence[bytes]
    ) -> None:
        if packet.kind == wire.CONNECT:
            self._connect(socket, session, packet)
            return
        client = session.clients.get(packet.namespace)
        if client is None:
            raise Malformed("the namespace was not joined")
        namespace = self._namespaces[packet.namespace]
        if packet.kind in (wire.EVENT, wire.BINARY_EVENT):
            namespace.event(client, packet, attachments)
        elif packet.kind in (wire.ACK, wire.BINARY_ACK):
            namespace.acknowledged(client, packet, attachments)
        elif packet.kind == wire.DISCONNECT:
            self._disconnect(socket, session, packet)
        else:
            raise Malformed("a client does not refuse")

    def _connect(self, socket: Socket, session: _Session, packet: Packet) -> None:
        name, parser = packet.namespace, session.parser
        if not parser.is_auth(packet.data):
            raise Malformed("no object to connect with")
        namespace = self._namespaces.get(name)
        if namespace is None:
            socket.write(parser.refused({"message": "Invalid namespace"}, name))
            return
        if name in session.clients or name in session.joining:
            return
        session.joined += 1
        is_restless = session.joined > MAX_JOINS * len(self._namespaces)
        if self.engine.closed_because is not None or is_restless:
            socket.end()  # comes back by itself, as one of those who are counted
            return
        try:
            admitted = namespace.admit(socket, parser, packet.data)
        except (Refused, NotNow) as error:
            self._turn_away(socket, parser, name, error)
        else:
            if isinstance(admitted, Client):
                self._join(socket, session, namespace, admitted)
            else:
                joining = self._join_later(socket, session, namespace, admitted)
                session.joining[name] = self._tasks.start(joining)

    async def _join_later(
        self,
        socket: Socket,
        session: _Session,
        namespace: Namespace[Any],
        admit: Callable[[], Awaitable[Client]],
    ) -> None:
        try:
            client = await admit()
        except (Refused, NotNow) as error:
            self._turn_away(socket, session.parser, namespace.name, error)
        else:
            self._join(socket, session, namespace, client)
            if self.engine.closed_because is not None:
                socket.end()
        finally:
            session.joining.pop(namespace.name, None)

    def _join(
        self, socket: Socket, session: _Session, namespace: Namespace[Any], client: Client
    ) -> None:
        session.clients[namespace.name] = client
        if namespace.name == wire.NAMESPACE and session.parser is wire.JSON:
            session.main = client
        socket.expected_by = None
        socket.write(session.parser.connected(client.id, namespace.name))
        namespace.joined(client)

    def _turn_away(
        self, socket: Socket, parser: Parser, name: str, error: Refused | NotNow
    ) -> None:
        if isinstance(error, Refused):
            socket.write(parser.refused(error.error, name))
        else:
            socket.end()

    def _disconnect(self, socket: Socket, session: _Session, packet: Packet) -> None:
        """One namespace less. Who is left with none is expected to join one, or goes."""
        client = session.clients.pop(packet.namespace)
        if client is session.main:
            session.main = None
        self._namespaces[packet.namespace].left(client, "client namespace disconnect")
        if not session.clients:
            socket.expect()

    def _malformed(self, socket: Socket, error: Malformed) -> None:
        clients = self._clients(socket)
        for namespace, client in clients:
            namespace.malformed(client, error)
        socket.end(code=WSCloseCode.OK if clients else WSCloseCode.POLICY_VIOLATION)
