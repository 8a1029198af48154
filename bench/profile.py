"""Where the CPU time of an event goes: Ridewire's stacks, sampled by py-spy while it is under load.

py-spy stops the process for each look. It does so from the server's own core: from another one the
order to stop arrives late, mostly in the next system call, which then seems to take all the time.
The time of other processes on that core is not the server's; what is measured is the shares only.
"""

import asyncio
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct, structs

from bench import layers, servers
from bench.accounting import Reading, Ticks, main_thread_ns, open_files
from bench.load.together import until
from bench.plan import Contestant, Row
from bench.results import Profile
from bench.run import LIMIT_S, LoadFailed, load, task_of
from bench.shapes import Outcome, Scenario, Target

ROWS: Final = ("relay", "relay_two", "fan_out", "connect", "chat")
"""Those that have goals for what an event costs."""
CROWD: Final = 9_000
"""Clients that come, where a load ends with the last of them."""
RATE: Final = 50
"""Looks a second. More would leave the server too little time between them."""
SECONDS: Final = 12
QUICK_SECONDS: Final = 2
_LONGER_S: Final = 6
"""The load goes on for so long beside, for py-spy has to begin and to end."""
_SERVING: Final = "(realtime/serving.py:"
"""In a frame of the thread that serves."""


class NoProfile(Exception):
    """There is none. The message says why."""


async def profile(row: Row, seconds: int = SECONDS) -> Profile:
    """Put a Ridewire of its own under the load of a row, and look for so long where it is."""
    try:
        py_spy = _py_spy()
        async with servers.stores() as shared:
            return await _profile(row, seconds, shared, py_spy)
    except (NoProfile, servers.ServerFailed, LoadFailed) as error:
        return Profile(row.name, problem=str(error))


async def _profile(row: Row, seconds: int, shared: servers.Stores, py_spy: str) -> Profile:
    lasting = structs.replace(row, seconds=seconds + _LONGER_S)
    if row.scenario is Scenario.CONNECT:
        lasting = structs.replace(lasting, clients=CROWD)
    async with servers.contestant(Contestant.RIDEWIRE, shared) as target:
        loading = asyncio.create_task(_loaded(lasting, target))
        try:
            await _until_under_load(row, target, loading)
            found = await _sampled(row, target, seconds, py_spy)
            outcome = await loading
        finally:
            loading.cancel()
            with suppress(asyncio.CancelledError, LoadFailed):
                await loading
    if outcome.missing or outcome.wrong:
        raise NoProfile(f"the load was not served rightly: {outcome.note}")
    return found


async def _loaded(row: Row, target: Target) -> Outcome:
    return await load(task_of(row, Contestant.RIDEWIRE, target), row.seconds + LIMIT_S)


async def _sampled(row: Row, target: Target, seconds: int, py_spy: str) -> Profile:
    """All its servers together, each by the CPU time that it used."""
    found = await asyncio.gather(*(_server(pid, seconds, py_spy) for pid in target.pids))
    used_s = sum(one.used_s for one in found)
    shares: dict[str, float] = {}
    for one in found:
        for name, share in one.shares.items():
            shares[name] = shares.get(name, 0.0) + share * one.used_s / used_s
    in_order = {layer.name: shares[layer.name] for layer in layers.LAYERS if layer.name in shares}
    return Profile(row.name, in_order, sum(one.samples for one in found))


class _Looked(Struct, frozen=True):
    """What was seen of one server: its layers' shares of the CPU seconds that it used."""

    shares: dict[str, float]
    samples: int
    used_s: float


async def _server(pid: int, seconds: int, py_spy: str) -> _Looked:
    ticks, whole, main = Ticks.take(pid), Reading.take([pid]), main_thread_ns(pid)
    stacks = [*stacks_of_server(await _looked_at(py_spy, pid, seconds))]
    system = Ticks.take(pid).system_share_since(ticks)
    (used_s,) = Reading.take([pid]).since(whole).cpu_s
    others = max(0.0, 1 - (main_thread_ns(pid) - main) / 1e9 / used_s)
    if not stacks:
        raise NoProfile("py-spy saw no stack of the server")
    shares = layers.of_all(layers.shares(stacks), system, others)
    return _Looked(shares, sum(count for _, count in stacks), used_s)


async def _looked_at(py_spy: str, pid: int, seconds: int) -> str:
    """What py-spy writes: a line for each stack that it saw, and how often. Raises NoProfile."""
    with tempfile.TemporaryDirectory(prefix="ridewire-profile-") as folder:
        output = Path(folder) / "stacks"
        looking = await asyncio.create_subprocess_exec(
            *servers.on_server_core(py_spy, "record", "--native", "--pid", str(pid)),
            *("--rate", str(RATE), "--duration", str(seconds)),
            *("--format", "raw", "--output", str(output)),
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=PIPE,
        )
        _, complained = await looking.communicate()
        if looking.returncode or not output.exists():
            last = complained.decode(errors="replace").strip().rpartition("\n")[2]
            raise NoProfile(f"py-spy could not look into the server: {last}")
        return output.read_text("utf-8")


def stacks_of_server(raw: str) -> Iterator[tuple[Sequence[str], int]]:
    """The stacks of the thread that serves, outermost frame first, and how often each was seen."""
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        if _SERVING in stack:
            yield stack.split(";"), int(count)


async def _until_under_load(row: Row, target: Target, loading: asyncio.Task[Outcome]) -> None:
    """Until the clients are connected and have had the row's time to warm up. Raises NoProfile.

    Where clients that come are the load, the first of them are enough.
    """
    wanted = _open(target) + (1 if row.scenario is Scenario.CONNECT else row.clients)
    await until(lambda: loading.done() or _open(target) >= wanted, within_s=LIMIT_S)
    await asyncio.wait((loading,), timeout=row.warm_up_s)
    if loading.done():
        raise NoProfile("the server did not come under load")


def _open(target: Target) -> int:
    return sum(map(open_files, target.pids))


def _py_spy() -> str:
    """The program. Raises NoProfile."""
    beside = shutil.which("py-spy", path=str(Path(sys.executable).parent))
    found = beside or shutil.which("py-spy")
    if found is None:
        raise NoProfile("py-spy is not installed; it comes with the extra `bench`")
    return found
