"""What README.md tells its reader to run does what it says, against a server of its own."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from realtime.settings import Settings
from tests.docs.markdown import ROOT, Document
from tests.docs.running import DEFAULT_URL, Running, environment, serving

README = Document("README.md")
TRIED_HERE = {
    "tokens",
    "ready",
    "ride.mjs",
    "ride.py",
    "simulate",
    "second",
    "across",
    "production",
}
TRIED_ELSEWHERE = {
    "run": "the servers of these tests are started by what `make run` starts",
    "test": "it runs these tests",
    "bench": "it takes half an hour; its parts are tried in tests/bench",
}
NODE_MODULES = ROOT / "tests/js/node_modules"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("readme")
    environ = {**environment(folder / "data"), "PORT": "0"}
    with serving("exec .venv/bin/python -m realtime serve", environ, folder / "log") as running:
        yield running


@pytest.fixture(scope="module")
def tokens(server: Running) -> Mapping[str, str]:
    names = ("DRIVER", "RIDER", "BACKEND")
    minted = server.shell(
        README.code_named("tokens") + "printf '%s\\n' " + " ".join(f'"${name}"' for name in names)
    )
    return dict(zip(names, minted.split(), strict=True))


def test_a_starting_server_prints_what_the_readme_shows(server: Running) -> None:
    shown = _without_numbers(README.code_named("banner"))
    assert _without_numbers(server.banner).startswith(shown)


def test_the_server_is_ready(server: Running) -> None:
    assert json.loads(server.shell(README.code_named("ready"))) == {"status": "ready"}


def test_the_javascript_example_prints_what_the_readme_shows(
    server: Running, tokens: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    _save(tmp_path / "ride.mjs", server)
    printed = server.shell("node ride.mjs", cwd=tmp_path, **tokens)
    assert _by_speaker(printed) == _by_speaker(README.code_named("ride"))


def test_the_python_example_prints_what_the_readme_shows(
    server: Running, tokens: Mapping[str, str], tmp_path: Path
) -> None:
    _save(tmp_path / "ride.py", server)
    printed = server.shell(".venv/bin/python ride.py", cwd=tmp_path, **tokens)
    assert _by_speaker(printed) == _by_speaker(README.code_named("ride"))


def test_the_excerpt_at_the_top_is_of_the_example() -> None:
    [excerpt] = [code.text for code in README.code() if code.language == "text" and not code.name]
    assert excerpt in README.code_named("ride")


def test_the_simulation_loses_nothing_and_says_so_as_the_readme_shows(server: Running) -> None:
    port = server.url.rpartition(":")[2]
    printed = server.shell(README.code_named("simulate"), PORT=port)
    assert "All is well" in printed
    assert _without_counts(README.code_named("report")) in _without_counts(printed)


def test_a_second_instance_starts_on_the_stores_of_the_first(
    server: Running, tmp_path: Path
) -> None:
    command = README.code_named("second").replace("PORT=8081", "PORT=0")
    for variable in ("REDIS_URL", "MONGODB_URL"):
        address = server.printed(rf"{variable}=(\S+)")
        command = re.sub(rf"(?<={variable}=)'?[^\s']+'?", f"'{address}'", command)
    with serving(command, server.environment, tmp_path / "log") as second:
        assert "embedded" not in second.banner
        assert json.loads(second.shell(README.code_named("ready"))) == {"status": "ready"}
        across = README.code_named("across").replace("http://127.0.0.1:8081", second.url)
        assert "All is well" in server.shell(across)


def test_the_settings_for_production_are_enough(tmp_path: Path, server: Running) -> None:
    *exports, _start = README.code_named("production").splitlines()
    tell = ".venv/bin/python -c 'import json, os; print(json.dumps(dict(os.environ)))'"
    environ = json.loads(server.shell("\n".join([*exports, tell])))
    assert Settings.from_environment(environ, tmp_path).production


def test_every_block_of_the_readme_is_tried() -> None:
    shown = {code.name for code in README.code() if code.language != "text"}
    assert shown == TRIED_HERE | TRIED_ELSEWHERE.keys()


def _save(path: Path, server: Running) -> None:
    path.write_text(README.code_named(path.name).replace(DEFAULT_URL, server.url))


def _without_numbers(banner: str) -> str:
    """A server's first lines without what differs from run to run: ports and the folder."""
    without_ports = re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", banner)
    return re.sub(r"/\S+/jwt-secret", "SECRET", without_ports)


def _without_counts(report: str) -> str:
    return re.sub(r" +[\d,]+", " N", report)


def _by_speaker(printed: str) -> dict[str, list[str]]:
    """What each app heard, in its order; how the two interleave is not fixed."""
    heard: dict[str, list[str]] = {}
    for line in printed.splitlines():
        heard.setdefault(line.split()[0], []).append(line)
    return heard
