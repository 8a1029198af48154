"""Commands with their answers, and events with whom they reach: what AsyncAPI is made from."""

from typing import Any, Final

from msgspec import Struct

from handlers import answers
from models import commands, facts
from models.messages import Draft, Message
from models.points import Point

LOCATIONS: Final = "DriverLocation"
"""The payload of `driver:location`, which is no type of its own: a point, or a list of them."""


class Exchange(Struct, frozen=True):
    """A command and what it answers."""

    event: str
    payload: type[Struct]
    answer: type[answers.Answer]
    about: str

    @property
    def name(self) -> str:
        """Of the payload's schema and message."""
        return LOCATIONS if self.event == commands.DRIVER_LOCATION else self.payload.__name__


def _of(payload: type[Any], answer: type[answers.Answer], about: str) -> Exchange:
    return Exchange(payload.event, payload, answer, about)


EXCHANGES: Final = (
    _of(commands.SessionRefresh, answers.SessionRefreshed, "Go on with a new token."),
    _of(commands.DriverStatus, answers.StatusNoted, "Say whether the driver takes trips."),
    Exchange(
        commands.DRIVER_LOCATION,
        Point,
        answers.Located,
        "Say where the driver is: a point, or what the phone gathered while it was offline.",
    ),
    _of(commands.TripCreate, answers.TripIs, "Create a trip; staff names the rider."),
    _of(commands.TripOffer, answers.TripIs, "Offer a requested trip to a driver."),
    _of(commands.TripDecline, answers.Answer, "Say no to an offer."),
    _of(commands.TripUpdate, answers.TripIs, "Move a trip to another state."),
    _of(commands.TripEdit, answers.TripIs, "Change destination, stops or metadata until the end."),
    _of(
        commands.TripSubscribe,
        answers.Snapshot,
        "Look at a trip: a snapshot, then locations and the like as they come.",
    ),
    _of(commands.TripUnsubscribe, answers.Answer, "Stop looking at a trip."),
    _of(Draft, answers.Sent, "Send a message."),
    _of(commands.ChatHistory, answers.History, "Read messages."),
    _of(commands.MarkRead, answers.Marked, "Say how far the user has received and read."),
    _of(commands.ShowTyping, answers.Answer, "Say that the user is writing, or no longer."),
    _of(commands.ChatOpen, answers.ConversationIs, "Open a conversation that is no trip's."),
    _of(commands.ChatClose, answers.Answer, "End a conversation that is no trip's."),
)


class Heard(Struct, frozen=True):
    """An event of the server, and whom it reaches."""

    event: str
    payload: type[Struct]
    to: str
    delivery: str


IN_ORDER: Final = "In order and without holes while connected; a repair follows what was missed."
AT_MOST_ONCE: Final = "At most once: a later one or a snapshot makes up for it."
ONCE: Final = "Once."

EVENTS: Final = (
    Heard("session:ready", answers.SessionReady, "Every connection, as its first event.", ONCE),
    Heard(
        facts.SessionExpiring.event,
        facts.SessionExpiring,
        "The connection, 60 s before its token ends.",
        ONCE,
    ),
    Heard(
        facts.SessionEnded.event,
        facts.SessionEnded,
        "The connection, before the server ends it.",
        ONCE,
    ),
    Heard(
        facts.TripStatus.event,
        facts.TripStatus,
        "Parties, subscribed staff, the driver with the offer, one whose offer ended or who was "
        "taken off.",
        IN_ORDER,
    ),
    Heard(facts.WatchedStatus.event, facts.WatchedStatus, "Subscribed viewers.", IN_ORDER),
    Heard(
        facts.TripLocation.event,
        facts.TripLocation,
        "Subscribers, while a driver serves the trip.",
        AT_MOST_ONCE,
    ),
    Heard(
        facts.TripDriver.event,
        facts.TripDriver,
        "Subscribers, when the driver's connection changes.",
        AT_MOST_ONCE,
    ),
    Heard(
        facts.TripEta.event,
        facts.TripEta,
        "Subscribers, while the driver heads for the pickup or the dropoff.",
        AT_MOST_ONCE,
    ),
    Heard(
        Message.event,
        Message,
        "Parties, the sender's other devices too, and subscribed staff.",
        IN_ORDER,
    ),
    Heard(facts.ChatReceipt.event, facts.ChatReceipt, "Those who get the messages.", AT_MOST_ONCE),
    Heard(
        facts.ChatTyping.event,
        facts.ChatTyping,
        "Subscribed parties, but its author.",
        AT_MOST_ONCE,
    ),
)
