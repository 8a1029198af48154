"""README.md says what is so: settings, packages, examples."""

import configparser
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from realtime.settings import VARIABLES, Settings
from tests.docs.markdown import ROOT, Document, plain

README = Document("README.md")
RUNTIME, EMBEDDED, TESTS, JAVASCRIPT, TYPESCRIPT, FUZZ, BENCH, NODE_PEER = range(8)


def test_every_setting_is_in_the_table_and_no_other() -> None:
    described = {row["Variable"]: row["Takes"] for row in README.table("Settings")}
    assert described == {name: plain(text) for name, text in VARIABLES.items()}


def test_the_values_that_settings_have_without_a_variable_are_told(tmp_path: Path) -> None:
    told = re.findall(r"^\| `(\w+)` \| `([^`]+)`", README.section("Settings"), re.MULTILINE)
    untouched = Settings.from_environment({}, tmp_path)
    assert len(told) > 5
    for name, value in told:
        assert Settings.from_environment({name: value}, tmp_path) == untouched, name


@pytest.mark.parametrize(
    ("table", "extra"),
    [(RUNTIME, None), (EMBEDDED, "embedded"), (TESTS, "test"), (FUZZ, "fuzz"), (BENCH, "bench")],
)
def test_the_python_packages_are_those_of_setup_cfg(table: int, extra: str | None) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = (
        setup["options.extras_require"][extra] if extra else setup["options"]["install_requires"]
    )
    requirements = re.findall(r"^([\w-]+)==([\w.]+)", listed, re.MULTILINE)
    assert set(_packages(table)) == set(requirements)


@pytest.mark.parametrize(
    ("purpose", "extras"),
    [
        ("run", ["embedded"]),
        ("bench", ["bench", "embedded"]),
        ("test", ["bench", "embedded", "test"]),
        ("fuzz", ["bench", "embedded", "fuzz", "test"]),
    ],
)
def test_every_package_is_pinned_with_hashes_and_as_for_all_purposes(
    purpose: str, extras: list[str]
) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = [setup["options"]["install_requires"]]
    listed += [setup["options.extras_require"][extra] for extra in extras]
    wanted = re.findall(r"^([\w-]+==[\w.]+)", "\n".join(listed), re.MULTILINE)
    pinned = _pinned(purpose)
    assert {pin.lower().replace("_", "-") for pin in wanted} <= set(pinned)
    assert pinned.items() <= _pinned("fuzz").items()
    assert all(pinned.values())


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        (JAVASCRIPT, "tests/js"),
        (TYPESCRIPT, "clients/typescript"),
        (NODE_PEER, "bench/peers/node"),
    ],
)
def test_the_javascript_packages_are_those_of_package_json(table: int, folder: str) -> None:
    package = json.loads((ROOT / folder / "package.json").read_text("utf-8"))
    kinds = ("dependencies", "devDependencies", "optionalDependencies")
    listed = [pin for kind in kinds for pin in package.get(kind, {}).items()]
    assert sorted(_packages(table)) == sorted(listed)


@pytest.mark.parametrize("name", ["ride.mjs", "ride.py"])
def test_the_examples_are_those_of_the_readme(name: str) -> None:
    assert README.code_named(name) == (ROOT / "examples" / name).read_text("utf-8")


def _pinned(purpose: str) -> dict[str, frozenset[str]]:
    """Each package with its version, and the hashes of its files."""
    text = (ROOT / "requirements" / f"{purpose}.txt").read_text("utf-8")
    assert "://" not in text, "the files may come from any index"
    blocks = re.findall(r"^([\w-]+==[\w.]+)(.*\n(?: +.*\n)*)", text, re.MULTILINE)
    return {pin: frozenset(re.findall("sha256:[0-9a-f]{64}", more)) for pin, more in blocks}


def _packages(table: int) -> Iterable[tuple[str, str]]:
    """Name and version of each package in one of the tables."""
    for row in README.tables("What it depends on")[table]:
        for version in re.findall(r"\d[\w.]*", row["Version"]):
            yield row["Package"], version
