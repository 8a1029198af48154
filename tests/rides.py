"""Trips for tests: who is in one, how it gets into each state, and how to see that nothing came."""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from tests.clients import Client
from tests.conftest import Cluster, Connect, fresh, now

PICKUP: Final = {"lat": 52.5, "lng": 13.4}

WAY: Final[dict[str, tuple[str, ...]]] = {
    "requested": (),
    "accepted": ("accepted",),
    "arriving": ("accepted", "arriving"),
    "arrived": ("accepted", "arriving", "arrived"),
    "in_progress": ("accepted", "arriving", "arrived", "in_progress"),
    "completed": ("accepted", "arriving", "arrived", "in_progress", "completed"),
    "cancelled": ("accepted", "cancelled"),
    "unfulfilled": ("unfulfilled",),
}
"""Every state, and the moves that lead to it."""


class Cast(Struct, frozen=True):
    """A rider on the first instance; a driver and the company's dispatcher on the second."""

    rider: Client
    driver: Client
    dispatcher: Client

    async def trip(self, status: str = "requested", **fields: Any) -> str:
        """A trip in this state, moved there by the dispatcher; rider and driver follow it."""
        request = {
            "client_id": fresh("request"),
            "rider_id": self.rider.user_id,
            "driver_id": self.driver.user_id,
            "pickup": PICKUP,
            **fields,
        }
        trip_id: str = (await self.dispatcher.ok("trip:create", request))["trip"]["id"]
        for client in (self.rider, self.driver):
            await client.hears("trip:status", where(trip_id=trip_id))
        for step in WAY[status]:
            await self.move(trip_id, step)
        for client in (self.rider, self.driver):
            await hears_version(client, trip_id, 1 + len(WAY[status]))
        return trip_id

    async def move(self, trip_id: str, status: str) -> dict[str, Any]:
        """Have the dispatcher make a transition; the trip."""
        driver_id = {"driver_id": self.driver.user_id} if status == "accepted" else {}
        move = {"trip_id": trip_id, "status": status, **driver_id}
        trip: dict[str, Any] = (await self.dispatcher.ok("trip:update", move))["trip"]
        return trip

    async def passed(self, *clients: Client) -> None:
        """Wait until all that the dispatcher's instance has published so far has reached these."""
        await passed(self.dispatcher, *clients)


async def cast(cluster: Cluster, connect: Connect, **rider: Any) -> Cast:
    """Three that no other test knows; `rider` says with which client the rider comes."""
    return Cast(
        await connect(cluster.first, "rider", fresh("rider"), **rider),
        await connect(cluster.second, "driver", fresh("driver")),
        await connect(cluster.second, "service", fresh("dispatch")),
    )


async def passed(staff: Client, *clients: Client) -> None:
    """A marker: what the staff's instance published before it is heard before it, or never.

    It is a message in a conversation of these clients' users; not for viewers, who have no chat.
    """
    opening = {"client_id": fresh("marker"), "participants": [c.user_id for c in clients]}
    chat_id = (await staff.ok("chat:open", opening))["conversation"]["id"]
    await say(staff, chat_id, "marker")
    for client in clients:
        await client.hears("chat:message", where(conversation_id=chat_id))


async def say(client: Client, conversation_id: str, text: str) -> dict[str, Any]:
    """Send a message; the message as it was stored."""
    draft = {"conversation_id": conversation_id, "client_id": fresh("message"), "text": text}
    message: dict[str, Any] = (await client.ok("chat:send", draft))["message"]
    return message


async def hears_version(client: Client, trip_id: str, version: int) -> dict[str, Any]:
    """The `trip:status` of one version."""
    change = where(trip_id=trip_id, version=version)
    status: dict[str, Any] = await client.hears("trip:status", change)
    return status


def where(**fields: Any) -> Callable[[Any], bool]:
    """Whether a payload has these fields with these values."""
    return lambda payload: fields.items() <= payload.items()


def versions(client: Client, trip_id: str) -> list[int]:
    """The versions of a trip that the client was told, in the order in which it was."""
    return [s["version"] for s in client.heard("trip:status") if s["trip_id"] == trip_id]


def texts(client: Client, conversation_id: str) -> list[str]:
    """What the client was told of a conversation."""
    return [
        message["text"]
        for message in client.heard("chat:message")
        if message["conversation_id"] == conversation_id
    ]


def seqs(client: Client, conversation_id: str) -> list[int]:
    return [
        message["seq"]
        for message in client.heard("chat:message")
        if message["conversation_id"] == conversation_id
    ]


def point(seq: int, **fields: Any) -> dict[str, Any]:
    """A driver's position at this moment, not far from the pickup."""
    return {"lat": 52.501, "lng": 13.401, "ts": now() + seq, "seq": seq, **fields}
