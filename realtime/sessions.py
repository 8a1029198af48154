"""The life of a connection: from its token over `session:ready` to its end."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Raw, Struct

from handlers.answers import SessionRefreshed
from handlers.ports import Clock, Publish
from handlers.sessions import PROTOCOL, refreshed
from models import rooms
from models.commands import SessionRefresh
from models.errors import RidewireError, Unauthorized
from models.facts import Arrived, SessionExpiring
from models.fields import Id, Millis
from models.identity import Identity, Role
from realtime import payloads
from realtime.buckets import Bucket, Rate
from realtime.connection import Connection
from realtime.counting import Key
from realtime.deadline import Deadline
from realtime.engine import Socket
from realtime.feeds import TripFeed
from realtime.following import FollowingService
from realtime.identities import Identities
from realtime.metrics import Metrics
from realtime.wheel import Wheel
from realtime.wire import Encoded, Malformed, Parser

_log = logging.getLogger(__name__)

EXPIRING_MS: Final = 60_000
"""How long before its token's end a connection is told."""
EXPIRY_TICK_S: Final = 0.25
OPENED_WITHIN_S: Final = 7.0
"""How long a new session waits for the stores: apps that hear nothing wait hardly longer."""
FINISH_S: Final = 2.0
"""How long the commands go on that a client sent just before it left."""
_BEARER: Final = "bearer "
_LONGEST_WAIT_MS: Final = 86_400_000


class UnsupportedClient(RidewireError):
    code = "unsupported_client"


class TooManyConnections(RidewireError):
    code = "too_many_connections"


class Auth(Struct, frozen=True):
    """The Socket.IO `auth` payload. `client` is free text for logs."""

    token: str | None = None
    device: Id | None = None
    client: Annotated[str, Meta(max_length=200)] = ""
    protocol: int = PROTOCOL


class Sessions:
    """All open connections of this process."""

    def __init__(
        self,
        *,
        identities: Identities,
        following: FollowingService,
        publish: Publish,
        clock: Clock,
        metrics: Metrics,
        per_user: int,
        per_link: int,
        reports: Rate,
    ) -> None:
        """`per_user` connections are taken here, each with locations at the rate of `reports`.

        `per_link` is the same for viewers: all who were given a link are one user.
        """
        self._identities = identities
        self._following = following
        self._publish = publish
        self._clock = clock
        self._metrics = metrics
        self._per_user = per_user
        self._per_link = per_link
        self._reports = reports
        self.opening = 0
        """How many wait for the stores, to be told what they follow."""
        self._open: dict[Connection, None] = {}
        self._of_user: dict[str, dict[Connection, None]] = {}
        """By the key of an identity."""
        self._expiries: Wheel[Connection] = Wheel(EXPIRY_TICK_S, self._check_expiry)

    def all(self) -> Iterable[Connection]:
        return list(self._open)

    def accept(self, socket: Socket, parser: Parser, auth: Raw) -> Connection:
        """Make a connection of a socket that shows a good token.

        Raises what refuses it, and UnknownKey where it may be good after `keys_renewed`.
        """
        claims = _auth(parser, auth)
        if claims.protocol != PROTOCOL:
            raise UnsupportedClient(f"this server speaks protocol {PROTOCOL}")
        identity = self._identities.verify(claims.token or _bearer(socket.authorization))
        self._make_room(identity, claims.device)
        connection = Connection(
            socket,
            parser,
            identity,
            claims.device or "",
            claims.client,
            reports=Bucket(self._reports),
            sent=self._metrics.sent.counts,
        )
        connection.shown_at = self._clock()
        socket.authorization = ""  # is not needed any more: who comes back shows a token again
        self._open[connection] = None
        self._of_user.setdefault(identity.key, {})[connection] = None
        self._metrics.opened.counts[()] += 1
        _log.info("connection opened", extra=described(connection))
        return connection

    async def keys_renewed(self) -> None:
        """Wait until the newest keys of tokens are known. Raises Unavailable."""
        await self._identities.renewed()

    def _make_room(self, identity: Identity, device: Id | None) -> None:
        """Staff may come as often as it likes, and whoever replaces a connection always.

        Of connections without a device the oldest has to go: a phone that lost its network left
        them behind. A viewer ends nobody's: others have the same link. Raises TooManyConnections.
        """
        most = self._per_link if identity.role is Role.VIEWER else self._per_user
        others = self._of_user.get(identity.key, ())
        if len(others) < most or identity.is_staff:
            return
        open_ones = [other for other in others if not other.ended]
        if len(open_ones) < most or (
            device is not None and any(other.device == device for other in open_ones)
        ):
            return
        displaced = None if identity.role is Role.VIEWER else _displaced(open_ones)
        if displaced is None:
            raise TooManyConnections(f"a user has at most {most} connections")
        displaced.end("replaced", retry=False)

    async def open(self, connection: Connection) -> None:
        """Find what the connection follows, say `session:ready`, and let events in.

        While a store is away it waits for that. Raises Unavailable when it takes too long.
        """
        self.opening += 1
        try:
            async with Deadline(OPENED_WITHIN_S):
                ready, then = await self._following.open(connection)
        finally:
            self.opening -= 1
        if connection.identity.expires_at <= self._clock():
            connection.end("token_expired", retry=False)
            return
        connection.send(Encoded("session:ready", ready))
        then()
        connection.ready.set_result(None)
        self._await_expiry(connection)
        if connection.device:
            arrived = Arrived(connection.identity.key, connection.device, connection.id)
            self._publish(rooms.user(connection.identity.user_id), arrived)

    async def refresh(self, connection: Connection, command: SessionRefresh) -> SessionRefreshed:
        """Go on with a new token. A viewer keeps only the trips that it names."""
        token = await self._identities.verified(command.token)
        if connection.ended:
            raise Unauthorized("the session has ended", "ended")
        identity = refreshed(connection.identity, token)
        connection.identity, connection.shown_at = identity, self._clock()
        if identity.role is Role.VIEWER:
            for member in list(connection.members.values()):
                feed = member.feed
                if isinstance(feed, TripFeed) and feed.trip_id not in identity.trips:
                    self._following.unsubscribe(connection, feed.trip_id)
        self._await_expiry(connection)
        return SessionRefreshed(expires_at=identity.expires_at)

    def end_revoked(self, is_revoked: Callable[[Identity, Millis], bool]) -> None:
        """End the sessions whose token is not good any more."""
        for connection in self.all():
            if is_revoked(connection.identity, connection.shown_at):
                connection.end("revoked", retry=False)

    def close(self, connection: Connection, reason: str) -> None:
        """The transport is gone: forget the connection."""
        if connection not in self._open:
            return
        del self._open[connection]
        self._forget_of_user(connection)
        connection.finish_by = asyncio.get_running_loop().time() + FINISH_S
        self._expiries.remove(connection)
        if not connection.ready.done():
            connection.ready.cancel()
            if connection.working is not None:
                connection.working.cancel()
        self._following.close(connection)
        why = connection.end_code or reason.replace(" ", "_")
        self._metrics.closed.counts[why] += 1
        _log.info("connection closed", extra=described(connection) | {"reason": why})
        connection.leave()

    def _forget_of_user(self, connection: Connection) -> None:
        key = connection.identity.key
        of_user = self._of_user[key]
        del of_user[connection]
        if not of_user:
            del self._of_user[key]

    def _await_expiry(self, connection: Connection) -> None:
        """Have the connection looked after as its token's end comes near. It may be years away."""
        connection.expiring = False
        now = asyncio.get_running_loop().time()
        again = self._check_expiry(connection, now)
        if again is not None:
            self._expiries.add(connection, again)

    def _check_expiry(self, connection: Connection, now: float) -> float | None:
        """Tell of the token's end, or end the session; when to look again (loop time)."""
        left = connection.identity.expires_at - self._clock()
        if left <= 0:
            connection.end("token_expired", retry=False)
            return None
        if left > EXPIRING_MS:
            return now + min(left - EXPIRING_MS, _LONGEST_WAIT_MS) / 1000
        if not connection.expiring:
            connection.expiring = True
            expiring = SessionExpiring(connection.identity.expires_at)
            connection.send(Encoded(expiring.event, expiring))
        return now + left / 1000

    def counts(self) -> Counter[Key]:
        """How many there are, by role, transport and parser."""
        return Counter(
            (c.identity.role, c.socket.transport_name, c.parser.name) for c in self._open
        )


def _displaced(connections: Iterable[Connection]) -> Connection | None:
    """Who makes room, of these from the oldest on: the first that is silent, or else the first."""
    nameless = [each for each in connections if not each.device]
    return min(nameless, key=lambda each: not each.socket.is_silent, default=None)


def _auth(parser: Parser, raw: Raw) -> Auth:
    """What the client says of itself; nothing at all is allowed, for a token in the header."""
    try:
        claims = parser.read(raw, dict[str, Any])
    except (msgspec.ValidationError, Malformed):
        return Auth()
    try:
        return msgspec.convert(claims, Auth)
    except msgspec.ValidationError as error:
        raise Unauthorized(f"auth.{payloads.invalid(error, Auth).message}", "malformed") from error


def _bearer(authorization: str) -> str:
    if not authorization.lower().startswith(_BEARER):
        raise Unauthorized(
            "no token: it is expected as auth.token, or as a Bearer token", "missing"
        )
    return authorization[len(_BEARER) :].strip()


def described(connection: Connection) -> dict[str, object]:
    """A connection, for the log."""
    return {
        "connection": connection.id,
        "role": connection.identity.role,
        "user": connection.identity.user_id,
        "client": connection.agent,
        "transport": connection.socket.transport_name,
        "parser": connection.parser.name,
        "remote": connection.socket.origin.address,
    }
