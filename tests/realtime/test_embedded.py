"""The embedded stores: they last as long as their server, keep its data and come back."""

import os
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from socket import create_server
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from pymongo import MongoClient
from pymongo.errors import ConnectionFailure
from redis import ConnectionError as RedisConnectionError
from redis import Redis

from realtime.embedded import EmbeddedError, EmbeddedStores, child, lock, tie
from realtime.embedded.errors import PortTaken
from realtime.embedded.kinds import KINDS, LOOPBACK

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30

SERVER = """
import select
import signal
import sys
from pathlib import Path
from realtime.embedded import EmbeddedError, EmbeddedStores
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
data_dir, *names = sys.argv[1:]
wanted = {name: name in names for name in ("redis", "mongodb")}
try:
    stores = EmbeddedStores.start(Path(data_dir), **wanted)
except EmbeddedError as error:
    sys.exit(str(error))
with stores:
    try:
        print(stores.redis_url, stores.mongodb_url, flush=True)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            pass  # a signal that came before the call is noticed after it
    except KeyboardInterrupt:
        from redis import Redis
        print("still serving:", Redis.from_url(stores.redis_url).ping(), flush=True)
"""


class Server:
    """A process that has embedded stores, as the leader of its process group."""

    def __init__(self, data_dir: Path, *names: str, python: str = sys.executable) -> None:
        self._data_dir = data_dir
        self._names = names
        self._process = subprocess.Popen(  # noqa: S603 - the program above
            [python, "-c", SERVER, str(data_dir), *names],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.pid = self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.ends()

    def serves(self) -> tuple[str, str]:
        """The URLs of its stores, once they serve."""
        assert self._process.stdout
        redis_url, mongodb_url = self._process.stdout.readline().split()
        return redis_url, mongodb_url

    def stores(self) -> dict[str, int]:
        return {name: int((self._data_dir / name / "pid").read_text()) for name in self._names}

    def keeper(self) -> int:
        return int((self._data_dir / "keeper.pid").read_text())

    def family(self) -> list[int]:
        """Every process that it is made of: itself, the keeper, the stores."""
        return [self.pid, self.keeper(), *self.stores().values()]

    def says(self) -> str:
        """The next line."""
        assert self._process.stdout
        return self._process.stdout.readline()

    def ends(self) -> str:
        """End it in order, if it runs, and return what it said."""
        said, complaints = self._process.communicate(timeout=DEADLINE_S)
        return said + complaints


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")  # where there is one, it tells the dead that nobody reaped
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists()  # it is gone just now, or there are none here


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def all_gone(pids: list[int]) -> bool:
    return eventually(lambda: not any(map(lives, pids)))


def answers(url: str) -> bool:
    try:
        if url.startswith("redis:"):
            with Redis.from_url(url, retry=None) as redis:
                return bool(redis.ping())
        with mongo(url) as client:
            return bool(client.admin.command("ping")["ok"])
    except (RedisConnectionError, ConnectionFailure):
        return False


def mongo(url: str) -> MongoClient[dict[str, Any]]:
    return MongoClient(url, w="majority", journal=True, serverSelectionTimeoutMS=1000)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "a folder" / "of data"


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without any package."""
    home = tmp_path_factory.mktemp("bare")
    venv.create(home, symlinks=True)
    return str(home / "bin" / "python")


@pytest.fixture
def taken_port() -> Iterator[int]:
    with closing(create_server((LOOPBACK, 0))) as listener:
        yield listener.getsockname()[1]


def test_both_stores_serve(data_dir: Path) -> None:
    with EmbeddedStores.start(data_dir, redis=True, mongodb=True) as stores:
        assert stores.redis_url
        assert stores.mongodb_url
        assert answers(stores.redis_url)
        assert answers(stores.mongodb_url)
        assert stores.mongodb_url.endswith("?retryWrites=false")


def test_only_what_is_asked_for_is_started(data_dir: Path) -> None:
    with EmbeddedStores.start(data_dir, redis=True, mongodb=False) as stores:
        assert stores.redis_url
        assert stores.mongodb_url is None
        assert not (data_dir / "mongodb").exists()


def test_a_relative_folder_will_do(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data_dir.mkdir(parents=True)
    monkeypatch.chdir(data_dir)
    with EmbeddedStores.start(Path("here"), redis=True, mongodb=False):
        assert (data_dir / "here" / "redis" / "pid").exists()


def test_what_was_answered_survives_the_sudden_death_of_all(data_dir: Path) -> None:
    with Server(data_dir, "redis", "mongodb") as server:
        redis_url, mongodb_url = server.serves()
        with Redis.from_url(redis_url) as redis, mongo(mongodb_url) as client:
            redis.set("rider", "r1")
            client.test.trips.insert_one({"_id": "t1"})
        for pid in server.family():
            os.kill(pid, signal.SIGKILL)
    with EmbeddedStores.start(data_dir, redis=True, mongodb=True) as stores:
        assert stores.redis_url
        assert stores.mongodb_url
        with Redis.from_url(stores.redis_url) as redis, mongo(stores.mongodb_url) as client:
            assert redis.get("rider") == b"r1"
            assert client.test.trips.find_one() == {"_id": "t1"}


def test_a_killed_server_leaves_no_process_and_hinders_no_next_one(data_dir: Path) -> None:
    with Server(data_dir, "redis", "mongodb") as server:
        server.serves()
        family = server.family()
        os.kill(server.pid, signal.SIGKILL)
    with Server(data_dir, "redis", "mongodb") as successor:
        successor.serves()
        assert not any(map(lives, family))


def test_a_server_killed_while_they_start_leaves_no_process(data_dir: Path) -> None:
    with Server(data_dir, "redis", "mongodb") as server:
        store = data_dir / "mongodb" / "pid"
        assert eventually(lambda: store.exists() and bool(store.read_text()))
        family = [server.pid, server.keeper(), int(store.read_text())]
        os.kill(server.pid, signal.SIGKILL)
    assert all_gone(family)


def test_ctrl_c_leaves_them_running_until_the_server_is_done(data_dir: Path) -> None:
    with Server(data_dir, "redis", "mongodb") as server:
        server.serves()
        family = server.family()
        os.killpg(server.pid, signal.SIGINT)
        assert server.says() == "still serving: True\n"
        server.ends()
    assert not any(map(lives, family))


def test_a_stop_of_every_single_process_does_not_end_them_before_the_server(data_dir: Path) -> None:
    with Server(data_dir, "redis") as server:
        redis_url, _ = server.serves()
        keeper, store = server.keeper(), server.stores()["redis"]
        os.kill(keeper, signal.SIGTERM)
        os.kill(store, signal.SIGTERM)
        assert eventually(lambda: not lives(store) and answers(redis_url))
        assert server.keeper() == keeper


@pytest.mark.parametrize("name", ["redis", "mongodb"])
def test_a_killed_store_comes_back_at_its_address(data_dir: Path, name: str) -> None:
    with Server(data_dir, name) as server:
        url = next(url for url in server.serves() if url != "None")
        victim = server.stores()[name]
        os.kill(victim, signal.SIGKILL)
        assert eventually(lambda: not lives(victim) and answers(url))


def test_a_killed_keeper_comes_back_with_its_stores(data_dir: Path) -> None:
    with Server(data_dir, "redis") as server:
        redis_url, _ = server.serves()
        victims = [server.keeper(), *server.stores().values()]
        os.kill(victims[0], signal.SIGKILL)
        assert all_gone(victims)
        assert eventually(lambda: answers(redis_url))


def test_a_store_that_was_left_behind_is_ended(data_dir: Path) -> None:
    folder = data_dir / "redis"
    folder.mkdir(parents=True)
    held = lock.take(folder / "pid")
    store = [*KINDS["redis"].program(), "--port", "0", "--unixsocket", "socket"]
    orphan = subprocess.Popen(  # noqa: S603 - a store as the keeper starts it
        [sys.executable, tie.__file__, str(os.getpid()), str(held), *store],
        cwd=folder,
        stdout=subprocess.PIPE,
        pass_fds=[held],
    )
    os.close(held)
    assert orphan.stdout
    assert orphan.stdout.readline()
    with EmbeddedStores.start(data_dir, redis=True, mongodb=False) as stores:
        assert orphan.poll() is not None
        assert stores.redis_url
        assert answers(stores.redis_url)
    orphan.stdout.close()


def test_a_second_server_is_told_who_has_the_folder(data_dir: Path) -> None:
    with Server(data_dir, "redis") as server:
        redis_url, _ = server.serves()
        complaint = Server(data_dir, "redis").ends()
        assert f"in use by another server (process {server.pid})" in complaint
        assert "set DATA_DIR to another folder" in complaint
        assert answers(redis_url)


@pytest.mark.parametrize("name", KINDS)
async def test_a_port_that_was_lost_to_another_process_is_noticed(
    data_dir: Path, name: str, taken_port: int
) -> None:
    with pytest.raises(PortTaken):
        await child.start(KINDS[name], data_dir, taken_port)


@pytest.mark.parametrize("name", KINDS)
async def test_another_store_that_answers_on_the_port_is_not_taken_for_the_own(
    data_dir: Path, name: str
) -> None:
    with Server(data_dir / "other", name) as server:
        url = next(url for url in server.serves() if url != "None")
        with pytest.raises(PortTaken):
            await child.start(KINDS[name], data_dir / "own", urlsplit(url).port or 0)


@pytest.mark.parametrize(("name", "setting"), [("redis", "REDIS_URL"), ("mongodb", "MONGODB_URL")])
def test_without_its_package_the_setting_to_use_instead_is_named(
    data_dir: Path, bare_python: str, name: str, setting: str
) -> None:
    complaint = Server(data_dir, name, python=bare_python).ends()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    assert complaint.startswith(f"no embedded {KINDS[name].title} for {python} on ")
    assert f"set {setting}={name}://" in complaint


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedError, match=r"cannot be written .*; set DATA_DIR to"):
        EmbeddedStores.start(tmp_path / "file" / "data", redis=True, mongodb=False)


@pytest.mark.parametrize(
    ("name", "file"),
    [("redis", "appendonlydir/appendonly.aof.manifest"), ("mongodb", "data/WiredTiger.turtle")],
)
def test_damaged_data_is_told_with_the_place_of_the_log(
    data_dir: Path, name: str, file: str
) -> None:
    wanted = {kind: kind == name for kind in KINDS}
    EmbeddedStores.start(data_dir, **wanted).stop()
    (data_dir / name / file).write_text("damaged")
    with pytest.raises(EmbeddedError, match="does not start") as caught:
        EmbeddedStores.start(data_dir, **wanted)
    assert f"Its log is {data_dir / name / 'log'}." in str(caught.value)
