"""A crowd that loses its connections at once comes back by itself, and takes nobody down."""

from collections.abc import AsyncIterator

import pytest

from chaos.storm.bystanders import Bystanders
from chaos.storm.crowd import Crowd
from realtime.tokens import Secret, TokenRules, Tokens
from tests.conftest import Cluster, now
from tests.servers import SECRET, Server

SIZE = 80
PER_S = 15
LONGEST_WAIT_S = 60


@pytest.fixture
async def narrow(cluster: Cluster) -> AsyncIterator[Server]:
    server = await Server.start(cluster.settings | {"CONNECTS_PER_S": str(PER_S)})
    yield server
    await server.stop()


async def test_a_crowd_comes_back_to_all_that_was_its_own_and_disturbs_nobody(
    narrow: Server,
) -> None:
    """`python -m chaos --storm` does it with thousands, and tells how long it takes."""
    tokens = Tokens(TokenRules(secrets=(Secret(SECRET),)), now)
    crowd = Crowd(narrow.url, SIZE, tokens, seed=1)
    async with Bystanders.riding(narrow.url, tokens) as bystanders:
        try:
            await crowd.come()
            await crowd.request_trips()
            crowd.send_to(narrow.url)
            crowd.cut()
            await crowd.back()
            wrongs, waits = list(crowd.wrongs()), crowd.waits
        finally:
            crowd.leave()
        await bystanders.watch()
        assert bystanders.stayed
    assert not wrongs
    assert waits.total() > 0
    assert len(waits) > 1
    assert all(1 <= seconds <= LONGEST_WAIT_S for seconds in waits)
