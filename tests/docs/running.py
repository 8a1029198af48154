"""What the README tells its reader to run, run: commands in a shell, servers until they serve."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct

from realtime.settings import VARIABLES
from tests.docs.markdown import ROOT

DEFAULT_URL: Final = "http://127.0.0.1:8080"
_LAST_LINE: Final = "Ctrl-C stops it."
_KEPT: Final = ("PATH", "HOME", "LANG", "TMPDIR", "NODE_PATH", "SSL_CERT_FILE")


class Running(Struct, frozen=True):
    """A server, and what it printed when it began to serve."""

    banner: str
    environment: Mapping[str, str]
    """Of a second terminal beside it."""

    @property
    def url(self) -> str:
        return self.printed(r"listens on (\S+)")

    def printed(self, pattern: str) -> str:
        found = re.search(pattern, self.banner)
        assert found, self.banner
        return found[1]

    def shell(self, command: str, *, cwd: Path = ROOT, **more: str) -> str:
        """What a command prints, run as by a reader whose server this is."""
        done = subprocess.run(  # noqa: S602 - a shell is what the reader has
            _here(command).replace(DEFAULT_URL, self.url),
            shell=True,
            cwd=cwd,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def environment(data_dir: Path) -> dict[str, str]:
    """An environment without settings of the tester's own, not even from a `.env` file."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {**kept, **dict.fromkeys(VARIABLES, ""), "DATA_DIR": str(data_dir)}


@contextmanager
def serving(command: str, environ: Mapping[str, str], log: Path) -> Iterator[Running]:
    """Run a command that starts a server; in the end, Ctrl-C."""
    with log.open("w") as errors:
        process = subprocess.Popen(  # noqa: S602 - as above
            _here(command),
            shell=True,
            cwd=ROOT,
            env=dict(environ),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        yield Running(_banner(process, log), environ)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=30)


def _banner(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.strip() == _LAST_LINE:
            return "".join(lines)
    raise AssertionError(f"the server did not start: {log.read_text()}")


def _here(command: str) -> str:
    """The command with the Python of the tests, wherever that is."""
    return command.replace(".venv/bin/python", shlex.quote(sys.executable))
