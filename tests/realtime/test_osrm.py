"""Routes from a server that speaks as OSRM does, and from one that fails in many ways."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.eta import Remaining, Spot
from models.points import Place
from realtime import osrm
from realtime.counting import Counts
from realtime.osrm import AT_ONCE, MAX_BYTES, MAX_FAILURES, Osrm
from tests.routes import ROUTE, RouteServer

WAY = (Spot(52.517037, 13.38886, 1), Place(52.5, 13.0000001), Place(52.529407, 13.397634))


@pytest.fixture
async def server() -> AsyncIterator[RouteServer]:
    async with RouteServer.start() as started:
        yield started


@pytest.fixture
def outcomes() -> Counts:
    return Counts(int)


@pytest.fixture
async def router(server: RouteServer, outcomes: Counts) -> AsyncIterator[Osrm]:
    opened = Osrm(server.url, outcomes)
    yield opened
    await opened.close()


async def test_a_route_has_its_length_and_time(
    router: Osrm, server: RouteServer, outcomes: Counts
) -> None:
    assert await router.route(WAY) == Remaining(1886.8, 260.1)
    way = "13.388860,52.517037;13.000000,52.500000;13.397634,52.529407"
    assert server.asked == [f"/route/v1/driving/{way}?overview=false"]
    assert outcomes == {"routed": 1}


async def test_an_address_may_have_a_path_and_parameters(server: RouteServer) -> None:
    router = Osrm(f"{server.url}/osrm/?key=1", Counts(int))
    assert await router.route(WAY)
    await router.close()
    assert server.asked[0].startswith("/osrm/route/v1/driving/13.388860,52.517037;")
    assert server.asked[0].endswith("?key=1&overview=false")


async def test_that_there_is_no_route_is_no_failure(
    router: Osrm, server: RouteServer, outcomes: Counts
) -> None:
    server.answer = 400, {"code": "NoRoute", "message": "Impossible route between points"}
    for _ in range(MAX_FAILURES):
        assert await router.route(WAY) is None
    assert router.is_ready
    assert outcomes == {"no_route": MAX_FAILURES}


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"Internal Server Error"),
        (429, {"message": "Too Many Requests"}),
        (302, ROUTE),
        (200, b"<html>"),
        (200, b"\xff"),
        (200, {"code": "Ok", "routes": [{"distance": -1, "duration": "soon"}]}),
        (200, b'{"code": "Ok", "x": "' + b"x" * MAX_BYTES + b'"}'),
    ],
    ids=lambda answer: str(answer)[:30],
)
async def test_what_is_no_answer_is_a_failure(
    router: Osrm, server: RouteServer, outcomes: Counts, answer: Any
) -> None:
    server.answer = answer
    assert await router.route(WAY) is None
    assert outcomes == {"failed": 1}


async def test_who_fails_again_and_again_is_left_alone_for_a_while(
    router: Osrm, server: RouteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answer = 500, b""
    ready = []
    for _ in range(MAX_FAILURES):
        ready.append(router.is_ready)
        await router.route(WAY)
    assert [*ready, router.is_ready] == [True] * MAX_FAILURES + [False]
    monkeypatch.setattr(osrm, "PAUSE_S", 0)
    await router.route(WAY)  # as after the pause
    assert router.is_ready
    server.answer = 200, ROUTE
    assert await router.route(WAY)
    monkeypatch.setattr(osrm, "PAUSE_S", 30)
    server.answer = 500, b""
    await router.route(WAY)
    assert router.is_ready  # it is counted anew


async def test_a_silent_server_is_not_waited_for_nor_asked_too_much(
    router: Osrm, server: RouteServer, outcomes: Counts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(osrm, "WITHIN_S", 0.2)
    server.answer = None
    asking = [asyncio.create_task(router.route(WAY)) for _ in range(AT_ONCE)]
    await asyncio.sleep(0)
    assert not router.is_ready
    async with asyncio.timeout(10):
        assert await asyncio.gather(*asking) == [None] * AT_ONCE
    assert outcomes == {"failed": AT_ONCE}


async def test_nobody_there_is_a_failure(outcomes: Counts) -> None:
    router = Osrm("http://127.0.0.1:9", outcomes)
    assert await router.route(WAY) is None
    await router.close()
    assert outcomes == {"failed": 1}
