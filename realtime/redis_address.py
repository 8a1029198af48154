"""Where a REDIS_URL leads: to one Redis, or through Sentinels to whichever is the master now."""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import SplitResult, urlsplit

from redis.asyncio.client import Redis
from redis.asyncio.connection import Connection, ConnectionPool, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from models.observing import NOBODY, Observer
from realtime.measured_redis import MeasuredRedis

Host = tuple[str, int]
"""A host name or IP address, and a port."""

AnyProtocol = TypeVar("AnyProtocol", bound=asyncio.BaseProtocol)

_EXPECTED: Final = (
    "expected redis://[user:password@]host[:port][/db] (rediss:// for TLS) or "
    "redis+sentinel://[user:password@]host[:port],host[:port]/service[/db], "
    "with special characters of user and password percent-encoded"
)
_SCHEMES: Final = frozenset({"redis", "rediss", "redis+sentinel"})
_REDIS_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
_DEFAULTS: Final[Mapping[str, Any]] = {
    "socket_connect_timeout": 1.0,  # seconds
    "socket_timeout": 2.0,  # seconds
    "retry": Retry(NoBackoff(), 0),
    # While these are on, redis-py hands out pooled connections that the server has closed.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}
"""Of clients and of questions to Sentinels, where the URL says nothing else."""


@dataclass(frozen=True)
class RedisAddress:
    """A checked REDIS_URL. Neither `str()` nor `repr()` tells its user or password.

    The credentials are those of Redis; Sentinels that want some of their own get them from the
    parameters `sentinel_username` and `sentinel_password`. Every other parameter is redis-py's:
    `?ssl_ca_certs=/etc/redis/ca.pem`.
    """

    hosts: tuple[Host, ...]
    """The one Redis, or the Sentinels."""
    service: str | None
    """What the Sentinels call the master; None without Sentinels."""
    tls: ssl.SSLContext | None = field(repr=False)
    options: Mapping[str, Any] = field(repr=False, hash=False)
    """Of each connection to Redis, as redis-py names them."""
    sentinel_options: Mapping[str, Any] = field(repr=False, hash=False)
    """Of each connection to a Sentinel."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raise ValueError, which names REDIS_URL and what was expected, but not the password."""
        parts, scheme = _split(url)
        service, db = _path(parts.path, named=scheme == "redis+sentinel")
        given = _options(parts, db)
        sentinel_options = _take_sentinel_options(given) if service else {}
        return cls(
            hosts=_hosts(parts.netloc.rpartition("@")[2], service),
            service=service,
            tls=_checked(given, sentinel_options, tls=scheme == "rediss"),
            options=given,
            sentinel_options=sentinel_options,
        )

    def __str__(self) -> str:
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts
        )
        if self.service:
            return f"redis+sentinel://{hosts}/{self.service}"
        return f"{'rediss' if self.tls else 'redis'}://{hosts}"

    @property
    def credentials(self) -> tuple[str, ...]:
        """The arguments of AUTH: none, a password, or a user and a password."""
        user, password = self.options.get("username"), self.options.get("password")
        if user:
            return user, password or ""
        return (password,) if password else ()

    async def resolve(self) -> Host:
        """Tell whom to connect to now; through Sentinels that changes with every failover.

        Raises redis-py's MasterNotFoundError when no Sentinel answers or none has a master.
        """
        if self.service is None:
            return self.hosts[0]
        sentinels = Sentinel(  # type: ignore[no-untyped-call]  # not annotated
            self.hosts, sentinel_kwargs={**_DEFAULTS, **self.sentinel_options}
        )
        try:
            host, port = await sentinels.discover_master(self.service)
        except RedisError:
            # Its text would show every option of the Sentinels' clients.
            raise MasterNotFoundError(f"no master is known at {self}") from None
        finally:
            await sentinels.aclose()
        return host, port

    async def connect(self, protocol: Callable[[], AnyProtocol]) -> AnyProtocol:
        """Open one bare connection, not yet authenticated. Raises OSError or RedisError."""
        host, port = await self.resolve()
        loop = asyncio.get_running_loop()
        _, connected = await loop.create_connection(protocol, host, port, ssl=self.tls)
        return connected

    def client(self, observer: Observer = NOBODY, **options: object) -> Redis:
        """Make a redis-py client, to be closed by the caller, which connects when it is used.

        It sends no command twice: only the caller knows which may be repeated after an error.
        `observer` is told of every command, `options` are redis-py's, for a connection or its pool.
        """
        pool = self._pool({**_DEFAULTS, **self.options, **options})
        client = cast("MeasuredRedis", MeasuredRedis.from_pool(pool))
        client.observer = observer
        return client

    def _pool(self, options: Mapping[str, Any]) -> ConnectionPool:
        if self.service is not None:
            return SentinelConnectionPool(  # type: ignore[no-untyped-call]  # not annotated
                self.service, _Master(self), **options
            )
        host, port = self.hosts[0]
        if self.tls is None:
            return ConnectionPool(host=host, port=port, **options)
        return ConnectionPool(_Tls, host=host, port=port, tls=self.tls, **options)


class _Tls(SSLConnection):
    """Shares one TLS context: making its own would stop the event loop for tens of ms each time."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:  # noqa: ANN401  # as redis-py passes them
        super().__init__(**options)
        self.ssl_context.context = tls


@dataclass(frozen=True)
class _Master:
    """Whom redis-py's Sentinel pool asks for the master; unlike its own, leaves nothing open."""

    address: RedisAddress

    async def discover_master(self, _service: str) -> Host:
        return await self.address.resolve()


def _refused(what: str) -> ValueError:
    return ValueError(f"REDIS_URL: {what}; {_EXPECTED}")


def _split(url: str) -> tuple[SplitResult, str]:
    scheme, _, rest = url.partition("://")
    if scheme not in _SCHEMES:
        raise _refused("it starts with no known scheme")
    try:
        return urlsplit(f"redis://{rest}"), scheme
    except ValueError:  # here and below: what the libraries say may quote the password
        raise _refused("the host is malformed") from None


def _path(path: str, *, named: bool) -> tuple[str | None, str]:
    """Return the service, if one is to be `named`, and the database."""
    service, _, db = path[1:].partition("/") if named else (None, "", path[1:])
    if named and not service:
        raise _refused("the name of the Sentinels' service is missing")
    if db and not (db.isascii() and db.isdigit()):
        raise _refused("the database is no number")
    return service, db


def _options(parts: SplitResult, db: str) -> dict[str, Any]:
    """Let redis-py read the credentials, the database and the parameters."""
    userinfo, at, _ = parts.netloc.rpartition("@")
    try:
        return dict(parse_url(f"redis://{userinfo}{at}/{db}?{parts.query}"))
    except ValueError:
        raise _refused("a parameter has an impossible value") from None


def _take_sentinel_options(given: dict[str, Any]) -> dict[str, Any]:
    """Take out what is said for the Sentinels; the time-outs hold for all connections."""
    own = [key for key in given if key.startswith("sentinel_")]
    shared = {key: given[key] for key in given if key.startswith("socket_")}
    return shared | {key.removeprefix("sentinel_"): given.pop(key) for key in own}


def _hosts(text: str, service: str | None) -> tuple[Host, ...]:
    hosts = tuple(
        _host(host, _SENTINEL_PORT if service else _REDIS_PORT) for host in text.split(",")
    )
    if len(hosts) > 1 and not service:
        raise _refused("only redis+sentinel:// takes several hosts")
    return hosts


def _host(text: str, default_port: int) -> Host:
    try:
        parts = urlsplit(f"//{text}")
        name, port = parts.hostname or "", parts.port or default_port
        name.encode("idna")
    except ValueError:
        raise _refused("the host or its port is malformed") from None
    if not name:
        raise _refused("the host is missing")
    return name, port


def _checked(
    options: Mapping[str, Any], sentinel_options: Mapping[str, Any], *, tls: bool
) -> ssl.SSLContext | None:
    """Have redis-py make connections of these options, unopened, and take its TLS from them."""
    kind = SSLConnection if tls else Connection
    try:
        Redis(**sentinel_options)
        pool = ConnectionPool(kind, host="", port=0, **options)
        connection = pool.make_connection()  # type: ignore[no-untyped-call]  # not annotated
        return connection.ssl_context.get() if isinstance(connection, SSLConnection) else None
    except OSError as error:
        raise _refused(f"TLS: {error}") from None
    except (TypeError, ValueError, RedisError):
        raise _refused("a parameter is unknown or has an impossible value") from None
