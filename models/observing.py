"""What a store tells of its work to whoever counts it."""

from typing import Final, Protocol


class Observer(Protocol):
    """No call may wait, or fail."""

    def answered(self, operation: str, seconds: float, error: str = "") -> None:
        """An operation is over. `error` is a word for what went wrong, empty when nothing did."""

    def grouped(self, group: str, size: int) -> None:
        """So many callers' items were one write of this group."""


class _Nobody:
    """Observes nothing."""

    def answered(self, operation: str, seconds: float, error: str = "") -> None: ...

    def grouped(self, group: str, size: int) -> None: ...


NOBODY: Final[Observer] = _Nobody()
