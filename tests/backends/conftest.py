"""Clients for back ends, closed after the test."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from ridewire import tokens

from tests.backends.both import KINDS, Backend, Token
from tests.servers import SECRET

MakeBackend = Callable[..., Backend]


@pytest.fixture(params=KINDS)
async def backend_at(request: pytest.FixtureRequest) -> AsyncIterator[MakeBackend]:
    """Makes a client, as a service unless it gets another token."""
    made: list[Backend] = []

    def make(url: str, token: Token | None = None, **options: Any) -> Backend:
        made.append(Backend.of(request.param, url, token or tokens.minter(SECRET), **options))
        return made[-1]

    yield make
    for backend in made:
        await backend.close()
