"""A process of clients that stay until they are killed together: `python -m bench.load.crowd`.

Reads the address and the tokens as JSON, a line, from its standard input, and writes a line when
all have their session. Ends when its standard input does.
"""

import asyncio
import gc
import sys

import msgspec
import uvloop
from msgspec import Struct

from bench.accounting import raise_open_files
from bench.load.client import Client
from bench.load.connect import AT_ONCE
from bench.load.record import Record
from bench.load.together import each


class Crowd(Struct, frozen=True):
    url: str
    tokens: list[str]


async def stay(crowd: Crowd) -> None:
    record = Record()

    async def connect(token: str) -> Client:
        return await Client.connect(crowd.url, token, record)

    clients = await each(crowd.tokens, connect, at_once=AT_ONCE)
    sys.stdout.write(f"{len(clients)} are connected\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.buffer.read)


def main() -> None:
    gc.disable()  # thousands of clients are made, and none goes
    raise_open_files()
    crowd = msgspec.json.decode(sys.stdin.buffer.readline(), type=Crowd)
    uvloop.run(stay(crowd))


if __name__ == "__main__":
    main()
