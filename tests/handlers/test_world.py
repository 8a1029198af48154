"""The stores in memory keep what `models.stores` promises: the suite of the real ones, on these."""

from collections.abc import Callable

import pytest
from msgspec import Struct

from models.stores import Stores
from tests.handlers.world import memory_stores
from tests.models import test_stores


class Instance(Struct, frozen=True):
    stores: Stores


@pytest.fixture
def opened() -> Callable[[], Instance]:
    """Every instance has the same stores, as instances on one database have."""
    shared = Instance(memory_stores())
    return lambda: shared


@pytest.fixture
def stores(opened: Callable[[], Instance]) -> Stores:
    return opened().stores


class TestTrips(test_stores.TestTrips):
    pass


class TestPinGuards(test_stores.TestPinGuards):
    pass


class TestMessages(test_stores.TestMessages):
    pass


class TestConversations(test_stores.TestConversations):
    pass


class TestReceipts(test_stores.TestReceipts):
    pass
