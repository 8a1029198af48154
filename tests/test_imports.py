"""Imports go one way: models, then handlers, then realtime; and each library has its place."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
IO_LIBRARIES = {"socketio", "engineio", "aiohttp", "redis", "hiredis"}
MONGODB_DRIVERS = {"motor", "pymongo", "bson"}


def modules_of(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported_by(path: Path) -> Iterator[str]:
    """The top-level packages that a module imports, at whatever place in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            yield (node.module or "").partition(".")[0]


def importers(libraries: set[str], *packages: str) -> set[str]:
    """The modules of these packages that import one of these libraries."""
    return {
        str(path.relative_to(ROOT))
        for package in packages
        for path in modules_of(package)
        if libraries & set(imported_by(path))
    }


def test_there_is_something_to_look_at() -> None:
    assert all(len(modules_of(package)) > 5 for package in ("models", "handlers", "realtime"))
    assert "realtime/engine.py" in importers({"engineio"}, "realtime")


def test_models_know_neither_handlers_nor_realtime() -> None:
    assert importers({"handlers", "realtime", "tests"}, "models") == set()


def test_handlers_do_not_know_realtime() -> None:
    assert importers({"realtime", "tests"}, "handlers") == set()


def test_nothing_that_is_served_knows_the_tests() -> None:
    assert importers({"tests", "pytest"}, "models", "handlers", "realtime") == set()


def test_only_realtime_does_input_and_output() -> None:
    assert importers(IO_LIBRARIES, "models", "handlers") == set()


def test_one_module_knows_the_mongodb_driver() -> None:
    assert importers(MONGODB_DRIVERS, "models", "handlers", "realtime") == {
        "models/mongo/driver.py"
    }


def test_handlers_do_not_know_how_stores_keep_things() -> None:
    for path in modules_of("handlers"):
        text = path.read_text()
        assert "models.mongo" not in text
        assert "models import mongo" not in text
        assert "models.collections" not in text


def test_the_embedded_stores_are_processes_and_never_imported() -> None:
    assert importers({"secantus", "secantusdb"}, "models", "handlers", "realtime") == set()


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("handlers.trips", IO_LIBRARIES | MONGODB_DRIVERS | {"realtime"}),
        ("handlers.chat", IO_LIBRARIES | MONGODB_DRIVERS | {"realtime"}),
        ("models.trips", IO_LIBRARIES | MONGODB_DRIVERS | {"realtime", "handlers"}),
        ("models.facts", IO_LIBRARIES | MONGODB_DRIVERS | {"realtime", "handlers"}),
    ],
)
def test_loading_rules_loads_no_library_behind_their_back(module: str, forbidden: set[str]) -> None:
    program = f"import {module}, sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    loaded = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(loaded.stdout.split()) & forbidden == set()
