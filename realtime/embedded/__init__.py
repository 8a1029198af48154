"""Embedded stores: real Redis and MongoDB servers as child processes, for development and tests.

    server ── EmbeddedStores ──pipe── keeper ──┬── Valkey
                                               └── SecantusDB

The keeper (a process of its own) has the stores as children. It starts one again that dies, and
ends them all when the server closes the pipe or is gone, however it went.
"""

from realtime.embedded.errors import EmbeddedError
from realtime.embedded.stores import EmbeddedStores

__all__ = ["EmbeddedError", "EmbeddedStores"]
