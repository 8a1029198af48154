"""Names that nobody can guess, for connections and sessions: whoever knows one may act for it.

The random bytes of many are fetched at once: asking the system for them costs more than the rest.
"""

from base64 import urlsafe_b64encode
from collections.abc import Iterator
from os import urandom
from typing import Final

_SIZE: Final = 15
"""Bytes of a name: 120 bits, and 20 letters, digits, `-` and `_`."""
_FETCHED: Final = 200
"""Names of which the random bytes are fetched at once."""


def _new_names() -> Iterator[str]:
    while True:
        random = urandom(_FETCHED * _SIZE)
        for start in range(0, len(random), _SIZE):
            yield urlsafe_b64encode(random[start : start + _SIZE]).decode()


_names: Final = _new_names()


def new_name() -> str:
    return next(_names)
