"""What can go wrong, as types with a stable code and what the client may do next."""

from collections.abc import Sequence
from typing import ClassVar


class RidewireError(Exception):
    """A refusal that reaches the client as `{"code", "message", "retry", ...details}`.

    `retry` says whether the same request may succeed later without being changed.
    """

    code: ClassVar[str]
    retry: ClassVar[bool] = False

    def __init__(self, message: str, **details: object) -> None:
        super().__init__(message)
        self.message = message
        self.details = {key: value for key, value in details.items() if value is not None}

    def body(self) -> dict[str, object]:
        """What the client is told."""
        return {
            "code": self.code,
            "message": self.message,
            "retry": self.retry,
            **self.details,
        }


class Unauthorized(RidewireError):
    """`reason` is a word for who counts refusals; the client is told the message."""

    code = "unauthorized"

    def __init__(self, message: str, reason: str = "other") -> None:
        super().__init__(message)
        self.reason = reason


class TokenExpired(Unauthorized):
    code = "token_expired"

    def __init__(self, message: str, reason: str = "expired") -> None:
        super().__init__(message, reason)


class Forbidden(RidewireError):
    """Known to the caller, but not for it to do. `path` names the field that is refused.

    `distance_m` is how far from the pickup a driver is who says that it has arrived.
    """

    code = "forbidden"

    def __init__(
        self, message: str, path: str | None = None, distance_m: int | None = None
    ) -> None:
        super().__init__(message, path=path, distance_m=distance_m)


class NotFound(RidewireError):
    """Not there, or not the caller's: both look the same."""

    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"no such {what}")


class Invalid(RidewireError):
    """A payload that does not have its type. `path` is the field (`stops.0.lat`)."""

    code = "invalid"

    def __init__(self, expected: str, path: str = "") -> None:
        super().__init__(f"{path or 'payload'}: {expected}", path=path, expected=expected)


class UnknownEvent(RidewireError):
    code = "unknown_event"


class Conflict(RidewireError):
    """The trip has moved on. `trip` is the trip as it is now, in the caller's view."""

    code = "conflict"


class Closed(RidewireError):
    """It ended, and takes no more of this."""

    code = "closed"


class IllegalTransition(RidewireError):
    """`allowed` are the states that the caller may move the trip to from where it is."""

    code = "illegal_transition"

    def __init__(self, message: str, allowed: Sequence[str]) -> None:
        super().__init__(message, allowed=list(allowed))


class RateLimited(RidewireError):
    code = "rate_limited"
    retry = True

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message, retry_after_ms=retry_after_ms)
        self.retry_after_ms = retry_after_ms


class TooLarge(RidewireError):
    code = "too_large"


class Unavailable(RidewireError):
    """A store did not answer in time: the outcome is unknown; retry with the same `client_id`."""

    code = "unavailable"
    retry = True


class Internal(RidewireError):
    """A fault of the server's own. Retrying is safe wherever the command has a `client_id`."""

    code = "internal"
