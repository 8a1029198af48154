"""One sending of a command and its answer, read as what it has to be."""

import asyncio
from collections.abc import Callable
from typing import Final, Generic, Protocol, TypeVar

import msgspec
from msgspec import Struct

from models.fields import Millis

RETRY_MS: Final = 500
"""When to try again, where the server does not say."""

T = TypeVar("T")


class Command(Protocol):
    """The payload of a command, as in `models.commands`."""

    @property
    def event(self) -> str: ...


class Refusal(Struct, frozen=True):
    """What an error says: its code, and whether and when the same may be tried again."""

    code: str
    retry: bool
    retry_after_ms: Millis = RETRY_MS


class Refused(Exception):
    """The server's answer is an error."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.code)
        self.refusal = refusal


class Interrupted(Exception):
    """The connection went before the answer came: the outcome is unknown."""


class Call(Generic[T]):
    """`note` sees the answer as it comes, in its place among the events."""

    def __init__(
        self, command: Command, kind: type[T], note: Callable[[T], object] | None = None
    ) -> None:
        self.event = command.event
        self._command = command
        self._kind = kind
        self._note = note
        self._answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @property
    def payload(self) -> dict[str, object]:
        """As an app writes it: what is not set is left out."""
        fields: dict[str, object] = msgspec.to_builtins(self._command)
        return {name: value for name, value in fields.items() if value is not None}

    def take(self, data: object) -> None:
        """The answer is there."""
        if self._answer.done():
            return
        try:
            result = _read(data, self._kind)
        except (Refused, msgspec.ValidationError) as error:
            self._answer.set_exception(error)
            return
        if self._note is not None:
            self._note(result)
        self._answer.set_result(result)

    def interrupt(self) -> None:
        """No answer will come."""
        if not self._answer.done():
            self._answer.set_exception(Interrupted())

    async def result(self, within_s: float) -> T:
        """Raises Refused, Interrupted, TimeoutError, or msgspec.ValidationError."""
        return await asyncio.wait_for(self._answer, within_s)


def _read(data: object, kind: type[T]) -> T:
    if isinstance(data, dict) and data.get("ok") is True:
        return msgspec.convert(data, kind)
    error = data.get("error") if isinstance(data, dict) else None
    raise Refused(msgspec.convert(error, Refusal))
