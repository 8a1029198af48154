"""Names that nobody can guess, for connections and sessions: whoever knows one may act for it.

The random bytes of many are fetched at once: asking the system for them costs more than the rest.
"""

import os
from base64 import urlsafe_b64encode
from typing import Final

_SIZE: Final = 15
"""Bytes of a name: 120 bits, and 20 letters, digits, `-` and `_`."""
_FETCHED: Final = 200
"""Names of which the random bytes are fetched at once."""


_left: Final[list[bytes]] = []
os.register_at_fork(after_in_child=_left.clear)  # or two processes had the same names


def new_name() -> str:
    if not _left:
        random = os.urandom(_FETCHED * _SIZE)
        _left.extend(random[start : start + _SIZE] for start in range(0, len(random), _SIZE))
    return urlsafe_b64encode(_left.pop()).decode()
