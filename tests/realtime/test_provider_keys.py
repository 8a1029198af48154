"""An identity provider's keys: fetched, kept, fetched again; whatever it answers, or does not."""

import asyncio
import gzip
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from msgspec import Struct

from models.errors import Unauthorized, Unavailable
from realtime.app import now
from realtime.counting import Counts
from realtime.identities import Identities
from realtime.provider_keys import MAX_BODY, MAX_WAITING, CannotFetch, Pace, ProviderKeys, read
from realtime.revocations import Revocations
from realtime.tokens import TokenRules, Tokens, UnknownKey
from tests.handlers.world import World
from tests.hostile.process import until
from tests.provider import Provider, jwk, key_set, p256
from tests.realtime.joining import without_redis

QUICK = Pace(pause=0.001, fetch_within=5, wait=5)
WAIT_S = 10


class Door(Struct, frozen=True):
    """Who is let in by a provider's keys."""

    provider: Provider
    keys: ProviderKeys
    tokens: Tokens
    identities: Identities
    fetches: Counts

    async def lets_in(self, token: str) -> str:
        return (await asyncio.wait_for(self.identities.verified(token), WAIT_S)).user_id

    async def refuses(self, token: str) -> str:
        """The reason that is counted."""
        with pytest.raises(Unauthorized) as refused:
            await self.lets_in(token)
        return refused.value.reason

    async def cannot_tell(self, token: str) -> None:
        with pytest.raises(Unavailable):
            await self.lets_in(token)


@asynccontextmanager
async def opened(*kids: str, pace: Pace = QUICK) -> AsyncIterator[Door]:
    """A server of which a test says when it fetches."""
    async with Provider.open(*kids) as provider:
        tokens = Tokens(TokenRules(key_set_url=provider.url), now)
        revocations = Revocations(World().stores, without_redis(now), now)
        await revocations.load()
        fetches = Counts(int)
        keys = ProviderKeys(provider.url, tokens.take, fetches, pace)
        yield Door(provider, keys, tokens, Identities(tokens, revocations, keys), fetches)


@asynccontextmanager
async def running(door: Door) -> AsyncIterator[None]:
    """It fetches by itself."""
    task = asyncio.create_task(door.keys.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def still() -> AsyncIterator[Door]:
    """The provider's key `a` was fetched, and nothing happens by itself."""
    async with opened("a") as door:
        await door.keys.fetch()
        yield door


@pytest.fixture
async def door(still: Door) -> AsyncIterator[Door]:
    """The same, as a server has it."""
    async with running(still):
        yield still


async def test_a_published_key_checks_without_asking_again(door: Door) -> None:
    for _ in range(3):
        assert await door.lets_in(door.provider.sign("a")) == "dan"
    assert door.provider.asked == 1
    assert await door.refuses(door.provider.sign("a", p256())) == "signature"
    assert door.provider.asked == 1


async def test_an_unknown_key_is_asked_for_once(door: Door) -> None:
    door.provider.add("b")
    token = door.provider.sign("b")
    with pytest.raises(UnknownKey):
        door.identities.verify(token)
    assert await asyncio.gather(*(door.lets_in(token) for _ in range(50))) == ["dan"] * 50
    assert door.provider.asked == 2
    async with ClientSession() as http:
        for _ in range(20):
            await http.get(door.provider.url)  # time enough for the server to ask again
    assert door.provider.asked == 22


async def test_a_key_that_nobody_publishes_is_refused_after_asking(door: Door) -> None:
    forged = [door.provider.sign(f"made-up-{n}", p256()) for n in range(50)]
    assert await asyncio.gather(*map(door.refuses, forged)) == ["unknown_key"] * 50
    assert door.provider.asked == 2


async def test_between_two_requests_there_is_a_pause_whoever_asks() -> None:
    async with opened("a", pace=Pace(pause=3600, wait=0.01)) as door, running(door):
        for _ in range(5):
            await door.cannot_tell(door.provider.sign("a"))
        assert door.provider.asked == 0


async def test_a_key_that_has_vanished_stops_working(door: Door) -> None:
    old = door.provider.sign("a")
    del door.provider.keys["a"]
    door.provider.add("b")
    assert await door.lets_in(old) == "dan"
    assert await door.lets_in(door.provider.sign("b")) == "dan"
    assert await door.refuses(old) == "unknown_key"


async def test_the_keys_are_fetched_again_every_so_often() -> None:
    pace = Pace(pause=0.001, renew_every=0.001)
    async with opened("a", pace=pace) as door, running(door):
        await until(lambda: door.fetches["ok"] >= 3)


async def test_a_known_key_works_while_the_provider_is_away_and_others_cannot_be_judged(
    door: Door,
) -> None:
    door.provider.add("b")
    door.provider.answer = lambda: web.Response(status=503)
    await door.cannot_tell(door.provider.sign("b"))
    assert await door.lets_in(door.provider.sign("a")) == "dan"
    door.provider.answer = None
    await until(lambda: door.fetches["ok"] >= 2)
    assert await door.lets_in(door.provider.sign("b")) == "dan"


async def test_before_the_first_answer_nothing_can_be_judged_and_it_is_tried_again() -> None:
    async with opened("a") as door:
        door.provider.answer = lambda: web.Response(status=500)
        await door.keys.fetch()
        assert not door.tokens.has_keys
        assert "the answer is 500" in (door.keys.missing or "")
        async with running(door):
            await door.cannot_tell(door.provider.sign("a"))
            door.provider.answer = None
            await until(lambda: door.fetches["ok"] >= 1)
            assert await door.lets_in(door.provider.sign("a")) == "dan"
        assert (door.tokens.has_keys, door.keys.missing) == (True, None)


async def test_a_provider_that_hangs_is_given_up() -> None:
    async with opened("a", pace=Pace(fetch_within=0.1)) as door:
        door.provider.answers.clear()
        await door.keys.fetch()
        assert "no answer within 0.1 s" in (door.keys.missing or "")


async def test_who_waits_does_not_wait_for_ever() -> None:
    async with opened("a", pace=Pace(pause=0.001, wait=0.01)) as door, running(door):
        door.provider.answers.clear()
        await door.cannot_tell(door.provider.sign("a"))


async def test_who_leaves_does_not_take_the_answer_from_the_others(door: Door) -> None:
    door.provider.add("b")
    door.provider.answers.clear()
    leaving, staying = (
        asyncio.create_task(door.lets_in(door.provider.sign("b"))) for _ in range(2)
    )
    await until(lambda: door.provider.asked == 2)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    assert await door.lets_in(door.provider.sign("a")) == "dan"
    door.provider.answers.set()
    assert await staying == "dan"


async def test_no_more_wait_than_may(door: Door) -> None:
    door.provider.answers.clear()
    waiting = [asyncio.create_task(door.keys.renewed()) for _ in range(MAX_WAITING)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="too many"):
        await door.keys.renewed()
    door.provider.answers.set()
    await asyncio.gather(*waiting)
    await door.keys.renewed()


def compressed() -> web.Response:
    body = gzip.compress(b" " * 100 * MAX_BODY)
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


NONSENSE: dict[str, Callable[[], web.Response]] = {
    "the answer is 404": lambda: web.Response(status=404),
    "the answer is 302": lambda: web.Response(status=302, headers={"Location": "/keys"}),
    "the answer is no JWK Set": lambda: web.Response(text="<html>Sign in</html>"),
    f"the answer has more than {MAX_BODY} bytes": lambda: web.Response(body=b" " * (MAX_BODY + 1)),
    "the answer is no JWK Set: {": compressed,
    "the answer has no key for signatures": lambda: web.Response(body=key_set()),
    "the answer has no key for signatures; key 1 is a secret": lambda: web.Response(
        body=key_set({"kty": "oct", "k": "c2VjcmV0", "kid": "a"})
    ),
}


@pytest.mark.parametrize("what", NONSENSE)
async def test_nonsense_is_said_to_be_so_and_the_keys_stay(
    still: Door, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    still.provider.answer = NONSENSE[what]
    with caplog.at_level(logging.WARNING):
        await still.keys.fetch()
    assert caplog.messages[0].startswith(f"the keys of tokens cannot be fetched: {what}")
    assert await still.lets_in(still.provider.sign("a")) == "dan"
    assert (still.fetches["failed"], still.provider.asked) == (1, 2)
    assert still.keys.missing is None


async def test_a_provider_that_is_not_there_is_said_to_be_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    keys = ProviderKeys("http://127.0.0.1:1/keys?secret=x", print, Counts(int), QUICK)
    with caplog.at_level(logging.INFO):
        await keys.fetch()
        await keys.fetch()
    [record] = caplog.records
    assert "127.0.0.1:1" in record.getMessage()
    assert vars(record)["url"] == "http://127.0.0.1:1/keys"


async def test_a_provider_whose_certificate_nobody_vouches_for_is_not_believed(
    tmp_path: Path,
) -> None:
    async with Provider.open("a", tls=self_signed(tmp_path)) as provider:
        keys = ProviderKeys(provider.url, print, Counts(int), QUICK)
        await keys.fetch()
        assert "certificate verify failed" in (keys.missing or "")
        assert provider.asked == 0


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a forger can have, for the address of the provider."""
    key, name = p256(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    day = timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - day)
        .not_valid_after(datetime.now(UTC) + day)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "both.pem").write_bytes(private + certificate.public_bytes(Encoding.PEM))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "both.pem")
    return context


async def test_the_log_tells_which_keys_there_are_when_that_changes(
    still: Door, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "realtime.provider_keys"):
        await still.keys.fetch()
        still.provider.add("b")
        await still.keys.fetch()
    told = [vars(record)["keys"] for record in caplog.records if "keys" in vars(record)]
    assert told == ["a ES256, b ES256"]


def test_keys_that_cannot_be_used_are_left_out() -> None:
    good = jwk(p256(), kid="good")
    published = read(key_set(jwk(p256(), use="enc"), good, {"kty": "DSA"}, jwk(p256(), d="x")))
    assert [key.kid for key in published.keys] == ["good"]
    assert [line[:12] for line in published.unusable] == ["key 3 is of ", "key 4 is a p"]
    with pytest.raises(CannotFetch):
        read(key_set(jwk(p256(), use="enc")))
