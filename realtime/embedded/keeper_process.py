"""The keeper as the server sees it: a process, what it says, and the pipe that it lives by."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from realtime.embedded.errors import EmbeddedError

_log = logging.getLogger(__name__)

_CODE = Path(__file__).parents[2]
_END_S = 30


class KeeperProcess:
    """A keeper of the stores that `ports` names."""

    def __init__(self, data_dir: Path, ports: dict[str, int]) -> None:
        stores = (f"{name}={port}" for name, port in ports.items())
        self._process = subprocess.Popen(  # noqa: S603 - a module of our own
            [sys.executable, "-m", "realtime.embedded.keeper", str(data_dir), *stores],
            cwd=_CODE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is for the server
        )

    def ports(self) -> dict[str, int]:
        """Where its stores serve, once they do. Raises `EmbeddedError`."""
        for said in self._says():
            match said:
                case {"ports": dict(ports)}:
                    return ports
                case {"error": str(reason)}:
                    raise EmbeddedError(reason)
                case _:
                    _report(said)
        raise EmbeddedError("the keeper of the embedded stores ended before they served")

    def report_until_it_ends(self) -> None:
        """Log what it says."""
        for said in self._says():
            _report(said)

    def end(self) -> None:
        """Have it end its stores and itself; return when they are gone."""
        if self._process.stdin:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Forget it, once it has ended and nobody listens to it any more."""
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _says(self) -> Iterator[dict[str, Any]]:
        for line in self._process.stdout or ():
            if line.startswith(b"{"):
                yield json.loads(line)
            else:  # it failed in a way that it was not written for
                yield {"log": line.decode(errors="replace").rstrip()}


def _report(said: dict[str, Any]) -> None:
    if "ports" not in said:
        _log.warning("%s", said.get("log") or said)
