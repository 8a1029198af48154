"""A MongoDB that all of these tests share, and a database of each test's own in it."""

from collections.abc import Iterator

import pytest

from tests.models import mongodb


@pytest.fixture(scope="session")
def mongodb_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with mongodb.server_url(tmp_path_factory.mktemp("mongodb")) as url:
        yield url


@pytest.fixture
def url(mongodb_url: str) -> Iterator[str]:
    with mongodb.new_database(mongodb_url) as url:
        yield url
