"""Who may do what: by role, and by what the caller is to the trip or conversation.

`trip:update` needs, besides, the transition's own row in `models.trips.TRANSITIONS`.
"""

from typing import Final

from msgspec import Struct

from models import commands, requests
from models.errors import Closed, Forbidden, NotFound
from models.identity import STAFF as STAFF_ROLES
from models.identity import Identity, Role
from models.messages import Draft
from models.trips import Relation, Trip

RIDER, DRIVER, OFFERED, STAFF, VIEWER = (
    Relation.RIDER,
    Relation.DRIVER,
    Relation.OFFERED,
    Relation.STAFF,
    Relation.VIEWER,
)
ALL_ROLES: Final = frozenset(Role)
TALKERS: Final = ALL_ROLES - {Role.VIEWER}


class Access(Struct, frozen=True):
    """The roles that may give a command at all, and the relations that it needs.

    An empty `relations` means that the command is about no trip or conversation.
    """

    roles: frozenset[Role]
    relations: frozenset[Relation] = frozenset()


def _may(roles: frozenset[Role] | set[Role], *relations: Relation) -> Access:
    return Access(frozenset(roles), frozenset(relations))


COMMANDS: Final[dict[str, Access]] = {
    commands.SessionRefresh.event: _may(ALL_ROLES),
    commands.DriverStatus.event: _may({Role.DRIVER}),
    commands.DRIVER_LOCATION: _may({Role.DRIVER}),
    commands.TripCreate.event: _may({Role.RIDER} | STAFF_ROLES),
    commands.TripOffer.event: _may(STAFF_ROLES, STAFF),
    commands.TripDecline.event: _may({Role.DRIVER}, OFFERED),
    commands.TripUpdate.event: _may(TALKERS, RIDER, DRIVER, OFFERED, STAFF),
    commands.TripEdit.event: _may({Role.RIDER} | STAFF_ROLES, RIDER, STAFF),
    commands.TripSubscribe.event: _may(ALL_ROLES, RIDER, DRIVER, OFFERED, STAFF, VIEWER),
    commands.TripUnsubscribe.event: _may(ALL_ROLES),
    Draft.event: _may(TALKERS, RIDER, DRIVER, STAFF),
    commands.ChatHistory.event: _may(TALKERS, RIDER, DRIVER, STAFF),
    commands.MarkRead.event: _may(TALKERS, RIDER, DRIVER),
    commands.ShowTyping.event: _may(TALKERS, RIDER, DRIVER),
    commands.ChatOpen.event: _may(STAFF_ROLES),
    commands.ChatClose.event: _may(STAFF_ROLES, STAFF),
}
"""The table of commands. A driver with an offer may look at the trip, but not talk in it."""

REQUESTS: Final[dict[str, Access]] = {
    requests.TripGet.event: _may(ALL_ROLES, RIDER, DRIVER, OFFERED, STAFF, VIEWER),
    requests.TripTrack.event: _may(TALKERS, RIDER, DRIVER, STAFF),
    requests.TripList.event: _may(TALKERS),
    requests.TripShare.event: _may({Role.RIDER} | STAFF_ROLES, RIDER, STAFF),
    requests.MessageList.event: COMMANDS[commands.ChatHistory.event],
    requests.DriversNearby.event: _may(STAFF_ROLES),
    requests.UserPush.event: _may({Role.SERVICE}),
    requests.UserRevoke.event: _may({Role.SERVICE}),
    requests.TokenRevoke.event: _may({Role.SERVICE}),
}
"""The table of what is asked for over HTTP only. Commands keep their rows there, too."""

ACCESS: Final = COMMANDS | REQUESTS


def require_role(caller: Identity, event: str) -> None:
    """Raise Forbidden unless the caller's role may give this command."""
    if caller.role not in ACCESS[event].roles:
        raise Forbidden(f"the role {caller.role} may not {event}")


def require_relation(relation: Relation | None, event: str, what: str = "trip") -> Relation:
    """The relation, if it is enough. NotFound for a stranger, Forbidden for one who may not."""
    if relation is None:
        raise NotFound(what)
    if relation not in ACCESS[event].relations:
        raise Forbidden(f"{relation.who} may not {event}")
    return relation


def relation_to(trip: Trip, caller: Identity, event: str) -> Relation:
    """The caller's relation to a trip, if it is enough. A share link ends with its trip: Closed."""
    relation = require_relation(trip.relation_of(caller), event)
    if relation is VIEWER and trip.has_ended:
        raise Closed("the trip has ended, and the link to it with it")
    return relation
