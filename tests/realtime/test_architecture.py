"""What the code's structure promises: names in one place, a hot path without waiting."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers.locations import LocationHandler
from models import commands, facts
from models.messages import Draft, Message
from realtime import feeds, wire
from realtime.connection import Connection
from realtime.feeds import Feed, Member, TripFeed
from realtime.hub import Hub

ROOT = Path(__file__).parents[2]
PACKAGES = ("models", "handlers", "realtime")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


Trees = dict[Path, ast.Module]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return {path: ast.parse(path.read_text()) for path in MODULES}


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of a module that is not a docstring."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Expr):
            yield from (
                child.value
                for child in ast.iter_child_nodes(node)
                if isinstance(child, ast.Constant) and isinstance(child.value, str)
            )


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_there_is_something_to_look_at() -> None:
    assert len(MODULES) > 40
    assert "realtime.feeds" in {module_name(path) for path in MODULES}


def test_each_module_says_in_its_first_line_what_it_is(trees: Trees) -> None:
    for path, tree in trees.items():
        first, *_ = (ast.get_docstring(tree) or "").split("\n\n")
        assert first.rstrip().endswith((".", ":")), module_name(path)


def test_no_synchronous_function_calls_itself_asynchronous(trees: Trees) -> None:
    named = {f.name for tree in trees.values() for f in functions(tree)}
    assert [name for name in named if name.startswith("async_")] == []


def test_nothing_asks_whether_it_is_tested() -> None:
    words = re.compile(r"pytest|unittest|PYTEST|is_test|TESTING|test_mode")
    assert [module_name(path) for path in MODULES if words.search(path.read_text())] == []


def test_no_module_is_a_drawer_for_everything() -> None:
    names = {path.stem for path in MODULES}
    assert not names & {"utils", "util", "helpers", "misc", "common", "base"}


def test_only_the_settings_read_the_environment(trees: Trees) -> None:
    readers = {
        module_name(path)
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
        if isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    assert readers <= {"realtime.settings"}


def test_keys_of_redis_are_named_in_one_module(trees: Trees) -> None:
    named = {
        module_name(path)
        for path, tree in trees.items()
        for text in texts(tree)
        if "ridewire:" in text
    }
    assert named - {"realtime.__main__"} == {"realtime.keys"}


def test_each_command_and_each_fact_is_named_once() -> None:
    names = [
        kind.event
        for module in (commands, facts)
        for kind in vars(module).values()
        if inspect.isclass(kind) and kind.__module__ == module.__name__ and hasattr(kind, "event")
        if kind is not facts.WatchedStatus
    ]
    names += [commands.DRIVER_LOCATION, Draft.event, Message.event]
    in_both_directions = {"chat:receipt", "chat:typing"}
    assert {name for name in names if names.count(name) > 1} == in_both_directions


def test_events_are_named_where_they_are_defined_and_nowhere_else(trees: Trees) -> None:
    event = re.compile(r"(trip|chat|driver|control):[a-z]+\Z")
    named = {
        module_name(path)
        for path, tree in trees.items()
        for text in texts(tree)
        if event.match(text) and "simulation" not in path.parts
    }
    names = {"models.commands", "models.facts", "models.messages", "models.requests"}
    assert named == names


class TestTheHotPath:
    """From a location to the sockets: synchronous, without I/O and without a log line."""

    @pytest.mark.parametrize("module", [feeds, wire])
    def test_it_imports_nothing_that_waits(self, module: object) -> None:
        source = inspect.getsource(module)  # type: ignore[arg-type]
        for waiting in ("asyncio", "redis", "motor", "aiohttp", "logging"):
            assert f"import {waiting}" not in source
            assert f"from {waiting}" not in source

    @pytest.mark.parametrize("kind", [Member, Feed, TripFeed, LocationHandler, Connection, Hub])
    def test_nothing_in_it_is_a_coroutine(self, kind: type[object]) -> None:
        methods = inspect.getmembers(kind, inspect.isfunction)
        assert methods
        assert [name for name, method in methods if inspect.iscoroutinefunction(method)] == []
