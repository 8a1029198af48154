"""What can go wrong, as exceptions: one for each code of the server, each a `RidewireError`."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar

import httpx
import msgspec

from ridewire.resources import Trip


class RidewireError(Exception):
    """A refusal by the server, or an answer that did not come.

    `retry` says whether the same call may succeed later as it is; `retry_after` is in seconds,
    where the server named them. `status` is the answer's, None where there was none. `request_id`
    is in the server's log as well. Codes that are unknown here come as `RidewireError` itself.
    """

    code: str = "unknown"
    retry: bool = False

    def __init__(
        self,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.details: Mapping[str, Any] = details or {}
        self.status = status
        self.request_id = request_id
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code}: {self.message}" + (
            f" (request {self.request_id})" if self.request_id else ""
        )


class Unauthorized(RidewireError):
    """The token is not genuine, not for this server, or revoked."""

    code = "unauthorized"


class TokenExpired(Unauthorized):
    code = "token_expired"


class Forbidden(RidewireError):
    """Not for this caller to do. `path` is the field that is refused, where it is one."""

    code = "forbidden"

    @property
    def path(self) -> str | None:
        return self.details.get("path")


class NotFound(RidewireError):
    """There is no such trip or conversation, or it is nothing to the caller."""

    code = "not_found"


class Invalid(RidewireError):
    """A field is not as expected. `path` is the field (`stops.0.lat`), empty for the whole."""

    code = "invalid"

    @property
    def path(self) -> str:
        return str(self.details.get("path", ""))

    @property
    def expected(self) -> str:
        return str(self.details.get("expected", ""))


class Conflict(RidewireError):
    """The trip has moved on from the given version. `trip` is as it is now."""

    code = "conflict"

    @property
    def trip(self) -> Trip | None:
        trip = self.details.get("trip")
        return None if trip is None else msgspec.convert(trip, Trip)


class Closed(RidewireError):
    """It ended, and takes no more of this."""

    code = "closed"


class IllegalTransition(RidewireError):
    """Nobody may move a trip so. `allowed` are the states that the caller may move it to."""

    code = "illegal_transition"

    @property
    def allowed(self) -> tuple[str, ...]:
        return tuple(self.details.get("allowed", ()))


class TooLarge(RidewireError):
    """The request is too long, or the trip has had as many changes as it takes."""

    code = "too_large"


class RateLimited(RidewireError):
    """Too many attempts; nothing was done. `retry_after` says when to come back."""

    code = "rate_limited"
    retry = True


class Unavailable(RidewireError):
    """The server or its store did not answer in time: whether it was done is not known."""

    code = "unavailable"
    retry = True


class Unreachable(Unavailable):
    """There was no connection to the server: nothing was done."""


class Internal(RidewireError):
    """A fault of the server."""

    code = "internal"


class UnexpectedAnswer(RidewireError):
    """No Ridewire server answers so: look at the URL, and at what is in between."""

    code = "unexpected_answer"


_BY_CODE: Final = {
    kind.code: kind
    for kind in (
        Unauthorized,
        TokenExpired,
        Forbidden,
        NotFound,
        Invalid,
        Conflict,
        Closed,
        IllegalTransition,
        TooLarge,
        RateLimited,
        Unavailable,
        Internal,
    )
}
_BY_PROXIES: Final = {429: RateLimited, 502: Unavailable, 503: Unavailable, 504: Unavailable}
"""What a balancer in front of the server says by itself."""

_LONGEST_RETRY_AFTER_S: Final = 86_400
"""What asks for more than a day has lost count."""

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
LOST: Final = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
    httpx.DecodingError,
)
"""What httpx raises where there is no answer."""


def refusal(response: httpx.Response) -> RidewireError:
    """The error in an answer that is not a good one."""
    error = _error_in(response)
    if error is None:
        kind = _BY_PROXIES.get(response.status_code, UnexpectedAnswer)
        return _told(kind(f"HTTP {response.status_code}"), response)
    code = str(error["code"])
    known = _BY_CODE.get(code, RidewireError)
    told = _told(known(str(error.get("message", code)), details=error), response)
    if known is RidewireError:
        told.code = code
    told.retry = error.get("retry") is True
    return told


def no_answer(error: Exception, request_id: str) -> Unavailable:
    """What one of `LOST` means to whoever called."""
    kind = Unreachable if isinstance(error, _NEVER_SENT) else Unavailable
    said = str(error) or type(error).__name__
    lost = kind(f"no answer: {said}", request_id=request_id)
    lost.__cause__ = error
    return lost


def unreadable(response: httpx.Response, error: Exception) -> UnexpectedAnswer:
    """A good status with a body that is not the resource that was asked for."""
    unexpected = _told(UnexpectedAnswer(str(error)), response)
    unexpected.__cause__ = error
    return unexpected


_Error = TypeVar("_Error", bound=RidewireError)


def _told(error: _Error, response: httpx.Response) -> _Error:
    error.status = response.status_code
    error.request_id = response.headers.get("X-Request-Id")
    error.retry_after = _retry_after(error.details, response)
    return error


def _retry_after(details: Mapping[str, Any], response: httpx.Response) -> float | None:
    """Seconds, from none to a day; the body's are more exact than the header's."""
    given = details.get("retry_after_ms")
    if isinstance(given, int):
        return max(0, min(given, _LONGEST_RETRY_AFTER_S * 1000)) / 1000
    header = response.headers.get("Retry-After", "")
    return min(float(header), _LONGEST_RETRY_AFTER_S) if header.isdecimal() else None


def _error_in(response: httpx.Response) -> dict[str, Any] | None:
    try:
        body = msgspec.json.decode(response.content)
    except msgspec.DecodeError:
        return None
    error = body.get("error") if isinstance(body, dict) else None
    return error if isinstance(error, dict) and "code" in error else None
