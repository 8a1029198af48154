"""One authenticated client: who it is, what it follows, what it is sent."""

import asyncio
from collections import OrderedDict, deque
from typing import TYPE_CHECKING, Final, cast

from msgspec import UNSET, Raw

from handlers.locations import Reporter
from models import rooms
from models.facts import SessionEnded
from models.fields import Id, Millis
from models.identity import Identity
from models.messages import Message
from models.rooms import Room
from realtime.buckets import Bucket
from realtime.counting import Counts
from realtime.gateway import Client
from realtime.names import new_name
from realtime.wire import NAMESPACE, Encoded, Frame, Parser

if TYPE_CHECKING:
    from realtime.engine import Socket
    from realtime.feeds import Member, TripFeed

MAX_OWN: Final = 256
"""How many of a connection's newest own messages are remembered, so as not to echo them."""


class Request:
    """A command as it came: unread but for its name."""

    __slots__ = ("ack_id", "name", "payload", "size")

    def __init__(self, name: str, payload: Raw | None, ack_id: int | None, size: int) -> None:
        self.name = name
        self.payload = payload
        self.ack_id = ack_id
        self.size = size


class _Nowhere:
    """Where the socket of a client stood that has left."""

    def write(self, _frame: Frame, _passing: bool = False) -> bool:
        return True

    def end(self, *_last: Frame) -> None: ...


_NOWHERE: Final = _Nowhere()


class Connection(Client):
    """Exists from the accepted token until the client leaves or its transport ends."""

    __slots__ = (
        "_own",
        "_sent",
        "agent",
        "announced",
        "device",
        "driving",
        "early",
        "end_code",
        "ended",
        "expiring",
        "finish_by",
        "identity",
        "members",
        "missed",
        "pending",
        "pending_bytes",
        "ready",
        "reporter",
        "reports",
        "shown_at",
        "working",
    )

    def __init__(
        self,
        socket: "Socket",
        parser: Parser,
        identity: Identity,
        device: str,
        agent: str,
        *,
        reports: Bucket,
        sent: Counts | None = None,
    ) -> None:
        """`reports` holds the locations that it may report; `sent` counts by event what it gets."""
        super().__init__(new_name(), NAMESPACE, socket, parser)
        self._sent = Counts(int) if sent is None else sent
        self.identity = identity
        self.shown_at: Millis = 0
        """When (ms) the token was shown that says so."""
        self.device = device
        self.agent = agent
        self.members: dict[Room, Member] = {}
        self.driving: tuple[Id, ...] = ()
        """The running trips that this connection's driver serves."""
        self.missed: set[TripFeed] = set()
        """Trips whose newest location it was too slow for, and gets when it has caught up."""
        self.reporter: Reporter | None = None
        self.reports = reports
        self.early: list[Request] = []
        """Locations that came before the session is ready."""
        self.pending: deque[Request] = deque()
        self.pending_bytes = 0
        self.working: asyncio.Task[None] | None = None
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.expiring = False
        """Whether the client knows that its token ends soon."""
        self.announced = False
        """Whether other instances know of this connection's device."""
        self.ended = False
        self.end_code = ""
        """Why this server ended it; empty if it did not."""
        self.finish_by: float | None = None
        """Until when (loop time) the commands of a client that has left are still run."""
        self._own: OrderedDict[tuple[Id, Id], None] = OrderedDict()

    def send(self, event: Encoded, *, passing: bool = False) -> bool:
        """Hand an event to the client. Never waits.

        False for a `passing` event that was skipped, because the client is behind.
        """
        was_written = self.write(event, passing)
        if was_written:
            self._sent[event.name] += 1
        return was_written

    def write(self, event: Encoded, passing: bool = False) -> bool:
        """The same for an event that somebody else counts."""
        return self.socket.write(event.frame(self.parser.binary), passing)

    def answer(self, ack_id: int | None, answer: object) -> None:
        if ack_id is not None:
            self.socket.write(self.parser.answer(ack_id, answer))

    def show_missed(self) -> None:
        """The client has caught up: give it the newest of the locations that it missed."""
        missed, self.missed = self.missed, set()
        for feed in missed:
            feed.show_newest(self)

    def set_driving(self, trip_id: Id, is_driving: bool) -> None:
        """Note whether the connection's driver serves this trip now."""
        if is_driving is not (trip_id in self.driving):
            others = tuple(known for known in self.driving if known != trip_id)
            self.driving = (*others, trip_id) if is_driving else others

    def enqueue(self, request: Request) -> None:
        self.pending.append(request)
        self.pending_bytes += request.size

    def keep_early(self, request: Request) -> None:
        self.early.append(request)
        self.pending_bytes += request.size

    def take_early(self) -> list[Request]:
        early, self.early = self.early, []
        self.pending_bytes -= sum(request.size for request in early)
        return early

    def may_go_on(self, loop_time: float) -> bool:
        """Whether a waiting command is still to be run: there is one, and it is not too late."""
        in_time = self.finish_by is None or loop_time < self.finish_by
        return bool(self.pending) and in_time

    def next_request(self) -> Request:
        request = self.pending.popleft()
        self.pending_bytes -= request.size
        return request

    def leave(self) -> None:
        """The client has left: what is still written to it goes nowhere."""
        self.ended = True
        self.socket = cast("Socket", _NOWHERE)

    def end(
        self, code: str, *, retry: bool, retry_in_ms: Millis | None = None, close: bool = True
    ) -> None:
        """Say why, and close. Without `retry` stock clients are told not to come back.

        With `close` False somebody else closes the transport right after.
        """
        if self.ended:
            return
        self.ended = True
        self.end_code = code
        self.pending.clear()
        wait = UNSET if retry_in_ms is None else retry_in_ms
        ended = Encoded(SessionEnded.event, SessionEnded(code, retry, wait))
        reason = ended.frame(self.parser.binary)
        if close:
            self.socket.end(*((reason,) if retry else (reason, self.parser.disconnected())))
        else:
            self.socket.write(reason)

    def owns(self, message: Message) -> bool:
        """Whether the client sent this message here, and so has it as its answer."""
        return (
            message.sender_id == self.identity.user_id
            and (message.conversation_id, message.client_id) in self._own
        )

    def heard_version(self, trip_id: Id) -> int | None:
        """The newest version heard of a trip that the client follows; None if one is missing."""
        member = self.members.get(rooms.trip(trip_id))
        if member is None or not member.admitted:
            return None
        versions = cast("TripFeed", member.feed).versions
        return None if versions.has_gap else versions.newest

    def remember_own(self, conversation_id: Id, client_id: Id) -> None:
        self._own[conversation_id, client_id] = None
        if len(self._own) > MAX_OWN:
            self._own.popitem(last=False)

    def forget_own(self, conversation_id: Id, client_id: Id) -> None:
        self._own.pop((conversation_id, client_id), None)
