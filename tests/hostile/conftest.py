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
        "REPORTS_PER_S": "1000000",  # a driver sends enough to fill what waits for a slow rider
    }
    started = await Server.start(settings)
    yield started
    bystander = await _serve_a_bystander(started)
    await logged(started, bystander)
    _require_no_trace(started)
    await started.stop()


@pytest.fixture(autouse=True)
async def unharmed(server: Server) -> AsyncIterator[None]:
    """After every test the same process serves somebody else, and its log has no stack trace.

    What is on its way into the log then is looked at after the next test, or in the end.
    """
    yield
    await _serve_a_bystander(server)
    _require_no_trace(server)


async def _serve_a_bystander(server: Server) -> str:
    """A user id that is in the log later than all that was done before."""
    bystander = await Session.open(server.url, "rider", fresh("bystander"))
    bystander.close()
    return bystander.user_id


def _require_no_trace(server: Server) -> None:
    log = "\n".join(server.output)
    assert "Traceback" not in log, log
