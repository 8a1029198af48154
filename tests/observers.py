"""Who writes down what stores tell of their work."""


class Notebook:
    """See `models.observing.Observer`."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, str]] = []
        """Each with what went wrong."""
        self.groups: list[tuple[str, int]] = []

    def answered(self, operation: str, seconds: float, error: str = "") -> None:
        assert 0 <= seconds < 600
        self.operations.append((operation, error))

    def grouped(self, group: str, size: int) -> None:
        self.groups.append((group, size))
