"""The server's side: starts the keeper, tells the stores' addresses, ends them."""

import logging
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime.embedded import lock
from realtime.embedded.errors import EmbeddedError
from realtime.embedded.keeper_process import KeeperProcess
from realtime.embedded.kinds import KINDS

_log = logging.getLogger(__name__)

_PAUSE_S = 1


class EmbeddedStores:
    """Redis and MongoDB servers on loopback for this process alone, their data under `data_dir`.

    Whatever way this process ends, they end after it. One that dies comes back at its address.
    """

    def __init__(self, data_dir: Path, ports: dict[str, int]) -> None:
        """For `start`. `ports` names the stores that are wanted, 0 is any free port."""
        self._data_dir = data_dir
        self._held: int | None = _hold(data_dir)
        self._guard = threading.Lock()
        self._stopping = threading.Event()
        self._keeper = KeeperProcess(data_dir, ports)
        self._watch = threading.Thread(target=self._keep_the_keeper, daemon=True)
        try:
            self._ports = self._keeper.ports()
        except BaseException:
            self.stop()
            raise
        self._watch.start()

    @classmethod
    def start(cls, data_dir: Path, *, redis: bool, mongodb: bool) -> Self:
        """Start what is asked for, one at least; return when it serves. Raises `EmbeddedError`.

        Waits (some seconds at most, or as long as recovering the data takes) without an event loop.
        """
        wanted = {"mongodb": mongodb, "redis": redis}  # the slow one first
        return cls(
            data_dir.absolute(), {name: 0 for name, is_wanted in wanted.items() if is_wanted}
        )

    @property
    def redis_url(self) -> str | None:
        return self._url("redis")

    @property
    def mongodb_url(self) -> str | None:
        return self._url("mongodb")

    def stop(self) -> None:
        """End them in order and return when they are gone."""
        with self._guard:
            self._stopping.set()
        self._keeper.end()
        if self._watch.is_alive():
            self._watch.join()
        self._keeper.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _url(self, name: str) -> str | None:
        return KINDS[name].url(self._ports[name]) if name in self._ports else None

    def _keep_the_keeper(self) -> None:
        """Start it again, with its stores where they were, should it ever be killed."""
        while True:
            self._keeper.report_until_it_ends()
            self._keeper.close()
            if self._stopping.wait(_PAUSE_S):
                return
            _log.error("the keeper of the embedded stores was killed; starting it and them again")
            with self._guard:
                if self._stopping.is_set():
                    return
                self._keeper = KeeperProcess(self._data_dir, self._ports)
            try:
                self._keeper.ports()
            except EmbeddedError as error:
                _log.error("%s", error)


def _hold(data_dir: Path) -> int:
    """Lock the folder for this server. Raises `EmbeddedError`."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        held = lock.take(data_dir / "server.pid")
        lock.sign(held)
    except lock.LockHeld as error:
        raise EmbeddedError(
            f"DATA_DIR {data_dir} is in use by another server (process {error.holder}); stop that"
            " one, set DATA_DIR to another folder, or share stores by REDIS_URL and MONGODB_URL"
        ) from None
    except OSError as error:
        raise EmbeddedError(
            f"DATA_DIR {data_dir} cannot be written ({error}); set DATA_DIR to a folder that can,"
            " or use stores that run already: set REDIS_URL and MONGODB_URL"
        ) from error
    return held
