"""A server's listening socket: who connects and does not ask is not waited for."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import web

from realtime import serving
from tests.hostile.raw import Http

SILENT_S: Final = 0.2
"""In place of the server's own, which is longer than a test may take."""
HEAD: Final = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def url(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setattr(serving, "SILENT_S", SILENT_S)
    runner = serving.runner_of(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize("said", [b"", b"GET /he", HEAD, HEAD + b"\r\n" + HEAD])
async def test_a_request_that_does_not_come_is_not_waited_for(url: str, said: bytes) -> None:
    http = await Http.open(url)
    http.writer.write(said)
    async with asyncio.timeout(15):
        while await http.reader.read(65_536):
            pass
    http.close()


async def test_no_more_headers_are_remembered_than_a_request_may_have(url: str) -> None:
    http = await Http.open(url)
    http.writer.write(HEAD + b"X-More: x\r\n" * (serving.MAX_HEADERS + 1))
    async with asyncio.timeout(15):
        assert b" 400 " in await http.reader.readline(), "though the head has no end yet"
    http.close()


async def test_a_head_that_comes_bit_by_bit_gains_no_time(url: str) -> None:
    """The connection ends while the client still sends."""
    http = await Http.open(url)
    http.writer.write(HEAD)
    over = asyncio.create_task(http.reader.read())
    async with asyncio.timeout(15):
        while not over.done():
            http.writer.write(b"X-More: x\r\n")
            await asyncio.wait((over,), timeout=SILENT_S / 10)
    http.close()
