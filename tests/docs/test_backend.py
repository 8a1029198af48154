"""What docs/backend.md tells its reader to run does what it says, against a real server."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from tests.backends.proxy import Proxy
from tests.conftest import Cluster, fresh
from tests.docs.markdown import ROOT, Document
from tests.docs.running import DEFAULT_URL, Running, environment
from tests.servers import SECRET

BACKEND: Final = Document("docs/backend.md")
TRIED: Final = {"token", "curl", "look", "backend.mjs", "backend.py"}


@pytest.fixture
def reader(cluster: Cluster, tmp_path: Path) -> Running:
    """A reader's terminal beside a running server, with a copy of what they save."""
    return _beside(cluster.first, tmp_path)


@pytest.fixture
def token(reader: Running) -> Mapping[str, str]:
    minted = reader.shell(BACKEND.code_named("token") + 'printf %s "$BACKEND"')
    return {"BACKEND": minted}


def test_the_curl_lines_do_what_they_say(
    reader: Running, token: Mapping[str, str], tmp_path: Path
) -> None:
    blocks = [code for code in BACKEND.code() if code.language == "sh" and code.name != "token"]
    script = "set -e\n" + "".join(code.text for code in blocks).replace(
        "booking-4711", fresh("booking")
    )
    assert reader.shell(script, cwd=tmp_path, **token) == _shown("look")


@pytest.mark.parametrize(
    ("name", "command"),
    [("backend.mjs", "node backend.mjs"), ("backend.py", ".venv/bin/python backend.py")],
)
def test_an_example_prints_what_is_shown(
    name: str, command: str, reader: Running, token: Mapping[str, str], tmp_path: Path
) -> None:
    _save(tmp_path / name, reader.url)
    assert reader.shell(command, cwd=tmp_path, **token) == _shown("ride")


async def test_the_example_in_node_goes_on_after_a_lost_answer(
    cluster: Cluster, token: Mapping[str, str], tmp_path: Path
) -> None:
    async with Proxy.to(cluster.first) as proxy:
        proxy.losing = 2
        _save(tmp_path / "backend.mjs", proxy.url)
        reader = _beside(proxy.url, tmp_path)
        printed = await asyncio.to_thread(reader.shell, "node backend.mjs", cwd=tmp_path, **token)
        assert proxy.losing == 0
    assert printed == _shown("ride")


def test_every_block_is_tried() -> None:
    assert {code.name for code in BACKEND.code() if code.language != "text"} == TRIED


def _beside(url: str, folder: Path) -> Running:
    own = {"JWT_SECRET": SECRET, "PYTHONPATH": str(ROOT / "clients/python/src")}
    return Running(f"listens on {url}", {**environment(folder / "data"), **own})


def _save(path: Path, url: str) -> None:
    path.write_text(BACKEND.code_named(path.name).replace(DEFAULT_URL, url))


def _shown(name: str) -> str:
    [shown] = [c.text for c in BACKEND.code() if (c.language, c.name) == ("text", name)]
    return shown
