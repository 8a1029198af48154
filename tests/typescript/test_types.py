"""clients/typescript has the types of the code; TypeScript takes and refuses what it should.

The package is packed as npm would publish it and laid into an app of its own. There tsc compiles
the programs of clients/typescript/test, and Node runs one against a real server.
"""

import asyncio
import configparser
import json
import os
import re
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from realtime.http.documents.asyncapi import asyncapi
from realtime.http.documents.openapi import openapi
from tests.conftest import Cluster, fresh, mint
from tests.docs.markdown import ROOT, Document

PACKAGE: Final = ROOT / "clients/typescript"
MODULES: Final = PACKAGE / "node_modules"
PROGRAMS: Final = PACKAGE / "test"
README: Final = Document("clients/typescript/README.md")
EXAMPLES: Final = ("rider", "own")
WITHIN_S: Final = 60
_EXPECTED: Final = re.compile(r"// @ts-expect-error (TS\d+)$")
_REFUSED: Final = re.compile(r"^\S+\((\d+),\d+\): error (TS\d+)", re.MULTILINE)


@pytest.fixture(scope="module")
async def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its companions installed, and the programs in `test`."""
    folder = tmp_path_factory.mktemp("app")
    installed = folder / "node_modules"
    _install(await _pack(folder), installed / "@ridewire/types")
    for name in ("socket.io-client", "@types/node"):
        (installed / name).parent.mkdir(exist_ok=True)
        (installed / name).symlink_to(MODULES / name)
    shutil.copytree(PROGRAMS, folder / "test")
    for name in EXAMPLES:
        (folder / f"test/{name}.mts").write_text(README.code_named(name))
    return folder


@pytest.fixture(scope="module")
async def compiled(app: Path) -> Path:
    """The programs in JavaScript: tsc was strict and had nothing to say."""
    status, said = await _tsc(app, "test")
    assert (status, said) == (0, "")
    return app / "built"


async def test_the_types_are_those_of_the_code() -> None:
    documents = json.dumps({"asyncapi": asyncapi(), "openapi": openapi()})
    status, generated = await _run("node", "generate.mjs", said=documents)
    assert status == 0, generated
    assert generated == (PACKAGE / "protocol.d.ts").read_text("utf-8"), "run make types"


def test_every_command_and_event_compiles(compiled: Path) -> None:
    assert (compiled / "commands.mjs").exists()


def test_programs_of_both_module_systems_compile(compiled: Path) -> None:
    assert (compiled / "ride.mjs").exists()
    assert (compiled / "required.cjs").exists()


def test_the_examples_of_the_readme_compile(compiled: Path) -> None:
    assert all((compiled / f"{name}.mjs").exists() for name in EXAMPLES)


async def test_what_is_wrong_is_refused_line_by_line(app: Path) -> None:
    program = (PROGRAMS / "refused.mts").read_text("utf-8")
    expected = {
        number + 1: found[1]
        for number, line in enumerate(program.splitlines(), start=1)
        if (found := _EXPECTED.search(line))
    }
    (app / "bare").mkdir()
    shutil.copy(PROGRAMS / "tsconfig.json", app / "bare")
    (app / "bare/refused.mts").write_text(program.replace("@ts-expect-error", "refused with"))
    _, said = await _tsc(app, "bare")
    refused = {int(found[1]): found[2] for found in _REFUSED.finditer(said)}
    assert refused == expected
    assert len(expected) > 20


async def test_a_ride_goes_as_its_types_say(compiled: Path, cluster: Cluster) -> None:
    driver_id = fresh("driver")
    tokens = {
        "RIDER": mint("rider", fresh("rider")),
        "DRIVER": mint("driver", driver_id),
        "BACKEND": mint("service", fresh("backend")),
    }
    environ = {**os.environ, **tokens, "URL": cluster.first}
    status, printed = await _run("node", str(compiled / "ride.mjs"), environ=environ)
    assert status == 0, printed
    assert _by_speaker(printed) == {
        "rider": [
            "requested with 0 messages",
            f"offered to {driver_id}",
            "accepted",
            "car at 52.5217, 13.4128, heading 90",
            "2 On my way",
            "arriving",
            "arrived",
            "in_progress",
            "completed",
        ],
        "driver": [
            "1 accepted, duplicate",
            "1 I am the one in the red coat",
            "only to nothing",
        ],
    }


def test_the_package_has_the_version_and_the_license_of_the_product() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    package = _package()
    assert package["version"] == setup["metadata"]["version"]
    assert package["license"] == setup["metadata"]["license"]
    assert (PACKAGE / "LICENSE").read_text("utf-8") == (ROOT / "LICENSE").read_text("utf-8")


def test_both_module_systems_get_the_same_types() -> None:
    commonjs, modules = ((PACKAGE / f"index.d.{kind}").read_text("utf-8") for kind in ("ts", "mts"))
    assert commonjs == modules


def test_what_the_readme_installs_is_what_npm_packs(app: Path) -> None:
    package = _package()
    assert f"ridewire-types-{package['version']}.tgz" in README.code_named("install")
    packed = {path.name for path in (app / "node_modules/@ridewire/types").iterdir()}
    assert packed == {*package["files"], "LICENSE", "README.md", "package.json"}


def _package() -> dict[str, Any]:
    package: dict[str, Any] = json.loads((PACKAGE / "package.json").read_text("utf-8"))
    return package


async def _pack(into: Path) -> Path:
    """The file that npm would publish."""
    status, name = await _run("npm", "pack", "--silent", "--pack-destination", str(into))
    assert status == 0, name
    return into / name.strip()


def _install(packed: Path, folder: Path) -> None:
    """Unpack it as npm installs it."""
    folder.parent.mkdir(parents=True)
    with tarfile.open(packed) as archive:
        archive.extractall(folder.parent, filter="data")
    (folder.parent / "package").rename(folder)


async def _tsc(app: Path, project: str) -> tuple[int, str]:
    """Compile a folder of the app: the exit status, and what tsc says."""
    compiler = str(MODULES / ".bin/tsc")
    return await _run(compiler, "--project", project, "--pretty", "false", cwd=app)


async def _run(
    *command: str, said: str = "", cwd: Path = PACKAGE, environ: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Run a program to its end: its exit status, and what it printed; if it failed, to stderr."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=environ,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complained = await asyncio.wait_for(process.communicate(said.encode()), WITHIN_S)
    assert process.returncode is not None
    return process.returncode, (printed or complained).decode()


def _by_speaker(printed: str) -> dict[str, list[str]]:
    """What each app heard, in its order; how the two interleave is not fixed."""
    heard: dict[str, list[str]] = {}
    for line in printed.splitlines():
        who, _, what = line.partition(": ")
        heard.setdefault(who, []).append(what)
    return heard
