"""What tests over real sockets share: stores, two server instances, clients of both languages.

Servers are costly to start, so a test process has one pair; tests keep apart by fresh ids.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from models.fields import new_id
from models.identity import Role
from realtime.embedded import EmbeddedStores
from realtime.tokens import Secret, TokenRules, Tokens
from tests import nursery
from tests.clients import Client, JsProcess, PythonClient
from tests.servers import ROOT, SECRET, Server


class Cluster(Struct, frozen=True):
    """Two instances on the same stores."""

    first: str
    second: str
    stores: EmbeddedStores

    @property
    def settings(self) -> dict[str, str]:
        """For a further instance on these stores."""
        return {
            "REDIS_URL": str(self.stores.redis_url),
            "MONGODB_URL": str(self.stores.mongodb_url),
        }


@pytest.fixture(scope="session", autouse=True)
def _one_authority() -> Iterator[None]:
    """Certificates of everybody whom the machine trusts take a process 0.1 s of its start, and
    each of httpx's clients half of that; nothing here is asked that has one from them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(ROOT / "tests" / "nobody.pem"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _nursery() -> Iterator[None]:
    yield
    nursery.end()


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStores]:
    folder: Path = tmp_path_factory.mktemp("stores")
    with EmbeddedStores.start(folder, redis=True, mongodb=True) as started:
        yield started


@pytest.fixture(scope="session")
def stores(embedded: EmbeddedStores) -> EmbeddedStores:
    """The same, by a name that tests of `models` have for stores of another kind."""
    return embedded


@pytest.fixture(scope="session")
async def cluster(stores: EmbeddedStores) -> AsyncIterator[Cluster]:
    settings = {"REDIS_URL": str(stores.redis_url), "MONGODB_URL": str(stores.mongodb_url)}
    first = await Server.start(settings)
    second = await Server.start(settings)
    yield Cluster(first.url, second.url, stores)
    await first.stop()
    await second.stop()


@pytest.fixture(scope="session")
async def js() -> AsyncIterator[JsProcess]:
    process = await JsProcess.start()
    yield process
    await process.stop()


Connect = Callable[..., Awaitable[Client]]


def now() -> int:
    return time.time_ns() // 1_000_000


def mint(role: str, user_id: str, *, ttl_s: int = 600, trips: Sequence[str] = ()) -> str:
    tokens = Tokens(TokenRules(secrets=(Secret(SECRET),)), now)
    return tokens.mint(Role(role), user_id, ttl_s=ttl_s, trips=trips)


def fresh(name: str) -> str:
    """An id that no other test has."""
    return f"{name}-{new_id()}"


@pytest.fixture
async def connect(js: JsProcess) -> AsyncIterator[Connect]:
    """Connects a client and waits for its `session:ready`; closes it after the test.

    `kind` is `py` or `js`, `parser` `json` or `msgpack`. With `headers` no token goes along but
    what they have. `reconnection` is the JavaScript client's own.
    """
    opened: list[Client] = []

    async def connect(
        url: str,
        role: str,
        user_id: str,
        *,
        kind: str = "py",
        parser: str = "json",
        transports: Sequence[str] = ("websocket",),
        trips: Sequence[str] = (),
        ttl_s: int = 600,
        headers: Mapping[str, str] | None = None,
        reconnection: bool = False,
        **auth: Any,
    ) -> Client:
        if headers is None:
            auth = {"token": mint(role, user_id, ttl_s=ttl_s, trips=trips), **auth}
        open_one = (
            partial(js.connect, reconnection=reconnection) if kind == "js" else PythonClient.connect
        )
        client: Client = await open_one(
            url, auth or None, parser=parser, transports=transports, headers=headers or {}
        )
        opened.append(client)
        await client.hears("session:ready")
        return client

    yield connect
    for client in opened:
        await client.close()
