"""What a run of the benchmark leaves: every round as it was measured, and on what."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.accounting import Machine
from bench.plan import Contestant, Plan, Row
from bench.shapes import Outcome


class Measured(Struct, frozen=True, omit_defaults=True):
    """What came of one contestant in one round of a row."""

    row: str
    contestant: Contestant
    round: int
    """From 1."""
    outcome: Outcome | None = None
    failure: str = ""
    """Why there is no outcome."""
    rate: float = 0.0
    """Events a second that were sent, where the row is paced."""

    @property
    def spoiled(self) -> str:
        """Why this round does not count; empty where it does."""
        if self.outcome is None:
            return self.failure or "no outcome"
        counts = {"missing": self.outcome.missing, "wrong": self.outcome.wrong}
        told = [f"{count:,} {name}" for name, count in counts.items() if count]
        if not told and not self.outcome.events:
            told = ["no events"]
        return ", ".join([*told, self.outcome.note] if told and self.outcome.note else told)


class Profile(Struct, frozen=True, omit_defaults=True):
    """Where the CPU time of a row's events goes."""

    row: str
    shares: dict[str, float] = {}
    """By layer, as `bench.layers` has them; they add up to 1."""
    samples: int = 0
    problem: str = ""
    """Why there are none."""


class Counting(Struct, frozen=True):
    """What it costs to count and measure one relayed location, ns, in several rounds."""

    alone: tuple[float, ...]
    """With one location in a turn of the event loop."""
    together: tuple[float, ...]
    """With so many in each as `bench.counting` has."""


class Results(Struct, frozen=True, omit_defaults=True):
    date: str
    """When it began, YYYY-MM-DD."""
    machine: Machine
    plan: Plan
    measured: tuple[Measured, ...]
    profiles: tuple[Profile, ...] = ()
    counting: Counting | None = None

    def of(self, row: Row, contestant: Contestant) -> list[Measured]:
        """Its rounds, in their order, spoiled ones too."""
        found = (m for m in self.measured if (m.row, m.contestant) == (row.name, contestant))
        return sorted(found, key=lambda measured: measured.round)

    def good(self, row: Row, contestant: Contestant) -> dict[int, Outcome]:
        """The outcomes that count, by round."""
        return {
            measured.round: measured.outcome
            for measured in self.of(row, contestant)
            if measured.outcome is not None and not measured.spoiled
        }

    def spoiled(self) -> Iterator[Measured]:
        return (measured for measured in self.measured if measured.spoiled)

    def save(self, path: Path) -> None:
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")

    @classmethod
    def load(cls, path: Path) -> "Results":
        return msgspec.json.decode(path.read_bytes(), type=cls)
