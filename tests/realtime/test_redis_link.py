"""What leaves for Redis together."""

import asyncio

import pytest

from realtime import redis_link
from realtime.redis_link import Connection


class Wire(asyncio.Transport):
    """Notes what is written in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.written: asyncio.Queue[bytes] = asyncio.Queue()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: object) -> None:
        assert isinstance(data, bytes)
        self.written.put_nowait(data)


async def test_commands_that_follow_each_other_closely_leave_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(redis_link, "_GATHERED", 0.5)
    wire, connection = Wire(), Connection(1_000)
    connection.connection_made(wire)
    connection.send(b"first")
    assert await wire.written.get() == b"first"
    connection.send(b"second")
    for _ in range(3):
        await asyncio.sleep(0)
    connection.send(b"third")
    assert await wire.written.get() == b"secondthird"
