"""Does every cell of the table of rights matter? Each is turned round, and a test has to fail.

`python -m tests.handlers.mutated` prints the table in SECURITY.md. A cell is what one row of
`handlers.access` says of one role, or of one relation: from no to yes lets somebody in, from yes to
no shuts somebody out. It is changed in memory, of the servers too, which run in the tests' process;
then the tests of the row run until one fails.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self, cast

import pytest
from _pytest.runner import runtestprotocol
from aiohttp import web
from msgspec import Struct
from msgspec.structs import replace

from handlers.access import ACCESS, Access
from models.identity import Role
from models.trips import Relation
from realtime.app import Instance
from realtime.http.table import ROUTES
from realtime.serving import runner_of
from realtime.settings import Settings
from tests.servers import ROOT, SECRET, Server

FILES: Final = (
    "tests/handlers/test_access.py",
    "tests/http/test_authorization.py",
    "tests/protocol/test_commands.py",
)
"""What tries the rights: on handlers, over HTTP, over sockets."""
COPY: Final = "TestTable"
"""The tests that compare the table with a copy of it."""
GENERATED: Final = ("TestTable", "TestTrips", "TestCreations", "TestSupport", "_may_")
"""What the names of the tests contain that are generated from the rights."""
ROUTE_OF: Final = {route.name: route.access for route in ROUTES}


class Cell(Struct, frozen=True):
    """What one row says of one role or relation."""

    event: str
    who: Role | Relation

    @property
    def says_yes(self) -> bool:
        return self.who in self._field(ACCESS[self.event])

    def turned(self) -> Access:
        """The row with this cell turned round."""
        row = ACCESS[self.event]
        name = "roles" if isinstance(self.who, Role) else "relations"
        return replace(row, **{name: self._field(row) ^ {self.who}})

    def _field(self, row: Access) -> frozenset[Role] | frozenset[Relation]:
        return row.roles if isinstance(self.who, Role) else row.relations


def cells() -> Iterator[Cell]:
    """Of every row the roles, and of one about a trip or conversation the relations."""
    for event, row in ACCESS.items():
        yield from (Cell(event, role) for role in Role)
        if row.relations:
            yield from (Cell(event, relation) for relation in Relation)


class Own:
    """A server in this process, on a port of its own, instead of a child process."""

    def __init__(self, instance: Instance, runner: web.AppRunner) -> None:
        self._instance = instance
        self._runner = runner
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    @classmethod
    async def start(cls, settings: Mapping[str, str]) -> Self:
        read = Settings.from_environment({"JWT_SECRET": SECRET, **settings}, ROOT)
        instance = await Instance.start(read, settings["REDIS_URL"], settings["MONGODB_URL"])
        runner = runner_of(instance.app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return cls(instance, runner)

    async def stop(self) -> None:
        await self._instance.close()
        await self._runner.cleanup()


def about(item: pytest.Item) -> str | None:
    """The row that a test is about; None if it is about several."""
    given: dict[str, Any] = getattr(getattr(item, "callspec", None), "params", {})
    if "make" in given:
        event: str = given["make"]("t").event
        return event
    if "route" in given:
        return ROUTE_OF[given["route"]]
    return given.get("event") or given.get("command")


class Found(Struct, frozen=True):
    """What noticed that a cell was turned round: the first test that failed, but for the copy."""

    cell: Cell
    by_trying: str | None
    by_copy: bool


class Mutations:
    """A plugin of pytest: runs the tests of each cell's row, with the cell turned round."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.broken: list[str] = []
        """What fails with nothing changed."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Instead of pytest's own loop. Session fixtures stay for all of it."""
        items = [item for item in session.items if any(part in item.nodeid for part in GENERATED)]
        self.broken = [item.nodeid for item in items if _fails(item)]
        if not self.broken:
            for cell in cells():
                self.found.append(_turn_round(cell, items))
        session._setupstate.teardown_exact(None)
        return True


def _turn_round(cell: Cell, items: Sequence[pytest.Item]) -> Found:
    own = [item for item in items if about(item) in (None, cell.event)]
    copies = [item for item in own if COPY in item.nodeid]
    tried = [item for item in own if COPY not in item.nodeid]
    row = ACCESS[cell.event]
    ACCESS[cell.event] = cell.turned()
    try:
        noticed = next((item.nodeid for item in tried if _fails(item)), None)
        found = Found(cell, noticed, any(map(_fails, copies)))
    finally:
        ACCESS[cell.event] = row
    print(cell.event, cell.who, found.by_trying, found.by_copy, file=sys.stderr)  # noqa: T201
    return found


def _fails(item: pytest.Item) -> bool:
    """Run a test. What the session has set up stays, as if another test were to come."""
    follows = cast("pytest.Item", item.session)
    return any(report.failed for report in runtestprotocol(item, log=False, nextitem=follows))


def table(found: Sequence[Found]) -> str:
    """One line for each row of the table: how many cells, and what noticed a change of one."""
    lines = ["| Row | Cells | Noticed by trying | By the copy alone |", "| --- | --- | --- | --- |"]
    for event in ACCESS:
        of_row = [each for each in found if each.cell.event == event]
        tried = sum(each.by_trying is not None for each in of_row)
        copied = ", ".join(
            each.cell.who for each in of_row if each.by_trying is None and each.by_copy
        )
        lines.append(f"| `{event}` | {len(of_row)} | {tried} | {copied or 'none'} |")
    return "\n".join(lines)


def main() -> None:
    plugin, patch = Mutations(), pytest.MonkeyPatch()
    patch.setattr(Server, "start", Own.start)
    pytest.main(["-q", "-p", "no:cacheprovider", "--timeout=0", *FILES], plugins=[plugin])
    if plugin.broken:
        sys.exit(f"These fail with nothing changed: {', '.join(plugin.broken[:10])}")
    print(table(plugin.found))  # noqa: T201 - what it is for
    missed = [each.cell for each in plugin.found if each.by_trying is None and not each.by_copy]
    if missed:
        sys.exit(f"Nothing notices a change of {missed}")


if __name__ == "__main__":
    main()
