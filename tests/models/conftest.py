"""A MongoDB that all tests share, and a database of each test's own in it."""

import os
from collections.abc import Iterator

import pytest

from realtime.embedded import EmbeddedStores
from tests.models import mongodb


@pytest.fixture(scope="session")
def mongodb_url(request: pytest.FixtureRequest) -> str:
    """The one of TEST_MONGODB_URL, or the embedded one."""
    if url := os.environ.get("TEST_MONGODB_URL"):
        return url
    embedded: EmbeddedStores = request.getfixturevalue("embedded")
    return str(embedded.mongodb_url)


@pytest.fixture
def url(mongodb_url: str) -> Iterator[str]:
    with mongodb.new_database(mongodb_url) as url:
        yield url
