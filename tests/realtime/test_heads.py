"""Requests that are never whole: together they take so much, and who means it is served."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import pytest
from aiohttp import web

from realtime import heads, serving
from realtime.heads import MAX_PIPELINED
from tests.clients import WAIT_S
from tests.hostile.raw import Http, request

MOST: Final = 100_000
PIECE: Final = b"X-More: " + b"x" * 9_990 + b"\r\n"
HEAD: Final = b"GET /echo HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(heads, "MAX_UNFINISHED", MOST)
    app = web.Application()
    app.router.add_route("*", "/echo", echo)
    runner = serving.runner_of(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def echo(asked: web.Request) -> web.Response:
    return web.Response(body=await asked.read())


async def begins(url: str) -> Http:
    """A request that is read as far as it goes, and is not finished."""
    http = await Http.open(url)
    http.writer.write(HEAD + PIECE)
    await request(url, "GET", "/echo")  # answered later than that was read
    return http


async def is_cut_off(http: Http) -> None:
    with suppress(ConnectionResetError):  # it had sent more than was read
        assert await http.reader.read() == b""


async def ends(http: Http) -> None:
    """The server closes it, long before it would do so because nothing comes."""
    async with asyncio.timeout(WAIT_S):
        with suppress(ConnectionResetError):
            await http.reader.read()


async def test_of_very_many_heads_those_that_began_first_are_cut_off(url: str) -> None:
    slow = [await begins(url) for _ in range(15)]
    for http in slow[:6]:
        await is_cut_off(http)
    for http in slow[6:]:
        http.writer.write(b"\r\n")
        assert (await http.head()).status == 200
        http.close()


async def test_a_head_that_comes_with_the_end_of_another_counts(url: str) -> None:
    http = await Http.open(url)
    http.writer.write(HEAD + b"\r\n" + HEAD + (2 * MOST // len(PIECE)) * PIECE)
    await ends(http)


async def test_who_asks_for_very_much_at_once_is_cut_off(url: str) -> None:
    http = await Http.open(url)
    http.writer.write(2 * MAX_PIPELINED * (HEAD + b"\r\n"))
    await ends(http)


async def test_what_is_whole_or_gone_counts_no_more(url: str) -> None:
    first = await begins(url)
    for _ in range(3 * MOST // len(PIECE)):
        assert (await request(url, "GET", "/echo", {"X-More": "x" * 9_990})).status == 200
        (await begins(url)).writer.transport.abort()
    first.writer.write(b"\r\n")
    assert (await first.head()).status == 200
    first.close()


async def test_a_body_is_no_head_and_the_next_request_is_one(url: str) -> None:
    http = await Http.open(url)
    for _ in range(3):
        http.ask("POST", "/echo", {}, b"x" * MOST)
        assert len((await http.response()).body) == MOST
    http.writer.write(HEAD)
    for _ in range(2 * MOST // len(PIECE)):
        http.writer.write(PIECE)
    await is_cut_off(http)


async def test_a_body_that_comes_slowly_is_not_cut_off(url: str) -> None:
    http = await Http.open(url)
    http.ask("POST", "/echo", {"Content-Length": str(2 * MOST)}, b"x")
    for _ in range(2):
        await request(url, "GET", "/echo")
        http.writer.write(b"x" * (MOST - 1))
    http.writer.write(b"x")
    assert len((await http.response()).body) == 2 * MOST
    http.close()
