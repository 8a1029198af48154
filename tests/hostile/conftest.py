"""The server that hostile clients are let loose on, and what every one of them must leave whole."""

from collections.abc import AsyncIterator

import pytest

from realtime.embedded import EmbeddedStores
from tests.conftest import fresh
from tests.hostile.process import logged
from tests.hostile.raw import Session
from tests.servers import Server


@pytest.fixture(scope="session")
async def server(stores: EmbeddedStores) -> AsyncIterator[Server]:
    settings = {
        "REDIS_URL": str(stores.redis_url),
        "MONGODB_URL": str(stores.mongodb_url),
        "CONNECTS_PER_S": "100000",  # strangers come by the thousand, and are all let in
    }
    started = await Server.start(settings)
    yield started
    await started.stop()


@pytest.fixture(autouse=True)
async def unharmed(server: Server) -> AsyncIterator[None]:
    """After every test the same process serves somebody else, and its log has no stack trace."""
    before = len(server.output)
    yield
    bystander = await Session.open(server.url, "rider", fresh("bystander"))
    bystander.close()
    await logged(server, bystander.user_id, after=before)
    log = "\n".join(server.output[before:])
    assert "Traceback" not in log, log
