"""What each attack costs: memory of the server, and how late a bystander's car is meanwhile.

`python -m tests.hostile.measured` prints the table in SECURITY.md, on a machine with two cores. The
attack is a process of its own, and begins anew as long as it is measured.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import quantiles
from typing import Final

from realtime.embedded import EmbeddedStores
from tests.hostile.attacks import ATTACKS
from tests.hostile.process import resident
from tests.hostile.ride import a_ride
from tests.servers import Server

QUIET_S: Final = 3
ATTACKED_S: Final = 5
SETTINGS: Final = {"CONNECTS_PER_S": "100000", "LOCATIONS_PER_S": "1000"}
"""All of an attack's connections are let in, and the bystander's car is shown as it comes."""
MIB: Final = 1024 * 1024


async def attack(name: str, url: str) -> None:
    """Again and again, until the process is ended."""
    while True:
        await ATTACKS[name](url)


@asynccontextmanager
async def attacked(name: str, url: str) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.hostile.measured", "--attack", name, "--url", url
    )
    yield
    assert process.returncode is None, f"{name} has ended"
    process.kill()
    await process.wait()


async def row(name: str, server: Server) -> str:
    """The attack's line of the table."""
    async with a_ride(server.url) as took:
        before = await p99_of(took, QUIET_S)
        memory = resident(server)
        async with attacked(name, server.url):
            during = await p99_of(took, ATTACKED_S)
        grown = (resident(server) - memory) / MIB
        after = await p99_of(took, QUIET_S)
    return f"| {name} | {grown:+.0f} | {before:.1f} | {during:.1f} | {after:.1f} |"


async def p99_of(took: list[float], seconds: float) -> float:
    """Of what is added in this time: milliseconds that all but one in a hundred took at most."""
    begin = len(took)
    await asyncio.sleep(seconds)
    return 1_000 * quantiles(took[begin:], n=100)[-1]


async def table(names: Sequence[str]) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedStores.start(Path(folder), redis=True, mongodb=True) as stores,
    ):
        addresses = {"REDIS_URL": str(stores.redis_url), "MONGODB_URL": str(stores.mongodb_url)}
        for name in names:
            server = await Server.start(addresses | SETTINGS)
            print(await row(name, server), flush=True)  # noqa: T201 - what it is for
            await server.stop()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--attack", choices=ATTACKS, action="append")
    options.add_argument("--url", help="attack this server, instead of measuring")
    given = options.parse_args()
    names = given.attack or list(ATTACKS)
    asyncio.run(attack(names[0], given.url) if given.url else table(names))


if __name__ == "__main__":
    main()
