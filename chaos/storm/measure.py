"""An instance is killed, and all of its clients come to the other one, which knows none of them."""

import asyncio
import resource
import time
from collections.abc import Sequence
from typing import Final

import aiohttp
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from chaos import cluster
from chaos.storm.bystanders import Bystanders
from chaos.storm.crowd import Crowd
from realtime.tokens import Secret, TokenRules, Tokens

WITHIN_S: Final = 300.0
MEMORY: Final = "process_resident_memory_bytes"
CPU: Final = "process_cpu_seconds_total"
QUERIES: Final = "ridewire_mongodb_operation_duration_seconds_count"


class Figures(Struct, frozen=True, kw_only=True):
    """What came of a storm. `wrongs` should be none."""

    clients: int
    back_s: float
    refused: int
    waits_s: tuple[int, int]
    """The shortest and the longest `Retry-After`."""
    busy: int
    """How often a session was not begun in time."""
    gap_s: float
    """The longest time between two locations of a ride that went on meanwhile, reported every
    tenth of a second."""
    memory_mib: tuple[float, float]
    """Of the instance that they came to, before and after."""
    cpu_s: float
    queries: float
    """Operations of MongoDB for each client."""
    wrongs: Sequence[str]


async def measure(clients: int, seed: int) -> Figures:
    """Raises ProcessFailed when the cluster does not start, TimeoutError when they stay away."""
    _raise_open_files()
    tokens = Tokens(TokenRules(secrets=(Secret(cluster.SECRET),)), _now)
    async with cluster.running() as running, asyncio.timeout(WITHIN_S):
        first, second = running.instances
        crowd = Crowd(first.url, clients, tokens, seed)
        async with Bystanders.riding(second.url, tokens) as bystanders:
            try:
                await crowd.come()
                await crowd.request_trips()
                await bystanders.watch()
                before = await _counted(second.url)
                crowd.send_to(second.url)
                await first.kill()
                took = await crowd.back()
                after = await _counted(second.url)
                wrongs = list(crowd.wrongs())
            finally:
                crowd.leave()
            if not bystanders.stayed:
                wrongs.append("who was there before was cut off")
            return Figures(
                clients=clients,
                back_s=took,
                refused=crowd.waits.total(),
                waits_s=(min(crowd.waits, default=0), max(crowd.waits, default=0)),
                busy=crowd.busy,
                gap_s=bystanders.gap_s,
                memory_mib=(before[MEMORY] / 2**20, after[MEMORY] / 2**20),
                cpu_s=after[CPU] - before[CPU],
                queries=(after[QUERIES] - before[QUERIES]) / clients,
                wrongs=wrongs,
            )


async def _counted(url: str) -> dict[str, float]:
    """What an instance counts, over all labels."""
    counted = dict.fromkeys((MEMORY, CPU, QUERIES), 0.0)
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        for family in text_string_to_metric_families(await response.text()):
            for sample in family.samples:
                if sample.name in counted:
                    counted[sample.name] += sample.value
    return counted


def _raise_open_files() -> None:
    """A socket is a file; what is started here inherits the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _now() -> int:
    return time.time_ns() // 1_000_000
