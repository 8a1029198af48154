"""The stores that all tests share, in place of those of a run of the benchmark."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bench import servers
from realtime.embedded import EmbeddedStores


@pytest.fixture
def on_shared_stores(stores: EmbeddedStores, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run starts none of its own; `test_servers` tries those."""

    @asynccontextmanager
    async def shared() -> AsyncIterator[servers.Stores]:
        both = servers.Stores(str(stores.redis_url), str(stores.mongodb_url))
        yield await servers.own_databases(both)

    monkeypatch.setattr(servers, "stores", shared)
