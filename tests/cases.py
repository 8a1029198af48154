"""Many cases tried by one test: a failure says of which one it is."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(name: object) -> Iterator[None]:
    """Add this to the message of whatever goes wrong inside."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the case of {name}")
        raise
