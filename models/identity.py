"""Who a connection is: what its token says, and nothing else."""

from enum import StrEnum

from msgspec import Struct

from models.fields import Id, Millis


class Role(StrEnum):
    DRIVER = "driver"
    RIDER = "rider"
    AGENT = "agent"
    SERVICE = "service"
    VIEWER = "viewer"


STAFF = frozenset({Role.AGENT, Role.SERVICE})
"""The company's own people and programs."""


class Identity(Struct, frozen=True):
    """An authenticated token. Only the token check makes one, so whoever holds one is somebody."""

    user_id: Id
    role: Role
    expires_at: Millis
    issued_at: Millis | None = None
    token_id: Id | None = None
    trips: frozenset[Id] = frozenset()
    """The trips that a viewer may watch."""

    @property
    def key(self) -> str:
        """The user in this role: the same user may ride with one token and drive with another."""
        return f"{self.role}:{self.user_id}"

    @property
    def is_staff(self) -> bool:
        return self.role in STAFF
