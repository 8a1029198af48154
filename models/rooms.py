"""Where events go: every event has one room, and an instance listens to rooms with local members.

A room's name is also the name of its Redis channel, after the product's prefix.
"""

from typing import Final, NewType

from models.fields import Id

Room = NewType("Room", str)

INSTANCES: Final = Room("instances")
"""Control: what every instance has to know, whoever is connected to it."""


def trip(trip_id: Id) -> Room:
    """What is kept of a trip: its status, its messages and receipts. Parties are always in it."""
    return Room(f"trip:{trip_id}")


def live(trip_id: Id) -> Room:
    """What is only worth having while somebody looks: locations, typing. Subscribers are in it."""
    return Room(f"live:{trip_id}")


def chat(conversation_id: Id) -> Room:
    """A conversation that is no trip's."""
    return Room(f"chat:{conversation_id}")


def user(user_id: Id) -> Room:
    """Control: what one user's connections must do. None of it reaches a client as it is."""
    return Room(f"user:{user_id}")
