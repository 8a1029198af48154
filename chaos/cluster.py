"""Two instances on stores of their own, every process where a fault can reach it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from redis.asyncio import Redis

from chaos.processes import MONGODB, REDIS, SERVE, Instance, ProcessFailed, Store, Supervised
from chaos.proxy import Proxy
from realtime import keys

SECRET: Final = "a-secret-of-the-fault-suite-long-enough-for-HS256"  # noqa: S105 - of no other server
REDIS_WITHIN_S: Final = 10
THE_WAY: Final = "the way"
"""What bad connections go through, besides their instance."""


def instance_place(number: int) -> str:
    return f"instance {number}"


class Cluster:
    """What the load talks to, and what the faults are done to."""

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.redis = Store(REDIS, folder)
        self.mongodb = Store(MONGODB, folder)
        settings = {
            "RIDEWIRE_ENV": "production",
            "JWT_SECRET": SECRET,
            "REDIS_URL": self.redis.url,
            "MONGODB_URL": self.mongodb.url,
            "LOG_LEVEL": "warning",
            "ARRIVAL_RADIUS_M": "0",  # the cars drive nowhere in particular
        }
        self.instances = [Instance(name, command, settings) for name in ("first", "second")]
        self.proxies = [Proxy(instance.port) for instance in self.instances]
        """One before each instance, for the clients with bad connections."""
        self.failures: list[str] = []
        """What processes did that they should not."""

    async def start(self) -> None:
        """Raises ProcessFailed."""
        await asyncio.gather(self.redis.start(), self.mongodb.start())
        await self.instances[0].start()  # the first one makes the indexes
        await asyncio.gather(*(instance.start() for instance in self.instances[1:]))
        await asyncio.gather(*(proxy.start() for proxy in self.proxies))

    async def stop(self) -> None:
        """By force: what is still to be said has been said."""
        await asyncio.gather(*(proxy.stop() for proxy in self.proxies))
        await asyncio.gather(*(process.kill() for process in self._processes))

    async def restart(self, process: Instance | Store) -> None:
        """Start what was killed, and note it if it does not."""
        try:
            await process.start()
        except ProcessFailed as failure:
            self.failures.append(str(failure))

    async def reports_waiting(self) -> int:
        """How many reports of points are in Redis, on their way into tracks. Redis has to run."""
        async with Redis.from_url(self.redis.url, socket_timeout=REDIS_WITHIN_S) as client:
            return int(await client.xlen(keys.track_stream()))

    @property
    def places(self) -> dict[str, frozenset[str]]:
        """What connections go through, by their addresses."""
        straight, bad = {}, {}
        for number, (instance, proxy) in enumerate(zip(self.instances, self.proxies, strict=True)):
            straight[instance.url] = frozenset({instance_place(number)})
            bad[proxy.url] = frozenset({instance_place(number), THE_WAY})
        return straight | bad

    def note_deaths(self) -> None:
        """Everything should run now: what does not has died by itself."""
        for instance in self.instances:
            if not instance.runs:
                self.failures.append(str(instance.failure("ended by itself")))

    @property
    def _processes(self) -> list[Supervised]:
        return [*self.instances, self.redis, self.mongodb]


@asynccontextmanager
async def running(command: Sequence[str] = SERVE) -> AsyncIterator[Cluster]:
    """A fresh cluster with empty stores, gone with its data afterwards. Raises ProcessFailed."""
    with tempfile.TemporaryDirectory(prefix="ridewire-chaos-") as folder:
        cluster = Cluster(Path(folder), command)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.stop()
