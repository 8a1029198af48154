"""What is told of commands to a Redis that is there, and to one that is not."""

import asyncio

import pytest
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import ResponseError

from realtime.embedded import EmbeddedStores
from realtime.redis_address import RedisAddress
from tests.conftest import fresh
from tests.observers import Notebook

NOWHERE = "redis://127.0.0.1:1"


async def test_a_command_is_told_by_its_name(stores: EmbeddedStores) -> None:
    notebook = Notebook()
    async with RedisAddress.parse(str(stores.redis_url)).client(notebook) as redis:
        await redis.set(fresh("key"), "value")
        await redis.mget([fresh("key")])
    assert notebook.operations == [("set", ""), ("mget", "")]


async def test_a_refused_command_is_told(stores: EmbeddedStores) -> None:
    notebook, key = Notebook(), fresh("key")
    async with RedisAddress.parse(str(stores.redis_url)).client(notebook) as redis:
        await redis.set(key, "value")
        with pytest.raises(ResponseError):
            await redis.lpush(key, "more")
    assert notebook.operations[-1] == ("lpush", "refused")


async def test_a_script_that_redis_does_not_know_yet_is_no_failure(stores: EmbeddedStores) -> None:
    notebook = Notebook()
    async with RedisAddress.parse(str(stores.redis_url)).client(notebook) as redis:
        script = redis.register_script(f"return '{fresh('script')}'")
        await script()
    assert {error for _, error in notebook.operations} == {""}


async def test_a_redis_that_is_away_is_told() -> None:
    notebook = Notebook()
    async with RedisAddress.parse(NOWHERE).client(notebook) as redis:
        with pytest.raises(NotConnected):
            await redis.get("key")
    assert notebook.operations == [("get", "unavailable")]


async def test_a_command_that_nobody_waits_for_any_longer_is_told() -> None:
    notebook, asked = Notebook(), asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65_536):
            asked.set()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with RedisAddress.parse(f"redis://127.0.0.1:{port}").client(notebook) as redis:
        waiting = asyncio.ensure_future(redis.get("key"))
        await asked.wait()
        waiting.cancel()
        await asyncio.wait((waiting,))
    assert notebook.operations == [("get", "no_answer")]
    server.close()
