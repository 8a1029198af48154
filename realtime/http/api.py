"""The routes of the table, served: who asks, what for, the handler, the answer."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import web
from msgspec import Struct

from handlers import access
from handlers.answers import NearbyDriver, Page
from handlers.chat import ChatHandler
from handlers.nearby import NearbyHandler
from handlers.pushes import PushHandler
from handlers.revocations import RevocationHandler
from handlers.sharing import SharingHandler
from handlers.tracks import TrackHandler, TrackReading
from handlers.trips import TripHandler
from models.commands import ChatHistory, ChatOpen, TripCreate, TripEdit, TripOffer, TripUpdate
from models.fields import Id, Number
from models.identity import Identity
from models.messages import Conversation, Draft, Message
from models.requests import DriversNearby, MessageList, TripList
from models.trips import Trip
from realtime.deadline import Deadline
from realtime.http.answers import answer
from realtime.http.attempts import excuse
from realtime.http.cursors import cursor, position
from realtime.http.requests import Reader, bearer, place
from realtime.http.table import ROUTES, Method, Route
from realtime.http.tracks import answer_track

Verified = Callable[[str], Awaitable[Identity]]
"""Who holds a token. Raises Unauthorized, TokenExpired and Unavailable."""
Allow = Callable[[Identity, str], None]
"""Counts a request from an address. Raises RateLimited for who sends too many."""
Serve = Callable[[Identity, Any], Awaitable[object]]

_LOCATIONS: Final = {"create_trip": "/v1/trips/{id}"}
"""Where what a route creates is to be found afterwards."""


class Handlers(Struct, frozen=True):
    """Everything that a route may reach."""

    trips: TripHandler
    chat: ChatHandler
    sharing: SharingHandler
    pushes: PushHandler
    revocations: RevocationHandler
    nearby: NearbyHandler
    tracks: TrackHandler


def add_to(app: web.Application, to: Handlers, verified: Verified, allow: Allow) -> None:
    """Serve every route of the table."""
    serving = _serving(to)
    for route in ROUTES:
        served = _served(route, serving[route.name], verified, allow)
        path = route.path.replace(
            "}", ":[^/]+}"
        )  # ids may have braces, which aiohttp's own leave out
        app.router.add_route(route.method, path, served)
        if route.method is Method.GET:
            app.router.add_route("HEAD", path, served)


def _served(
    route: Route, serve: Serve, verified: Verified, allow: Allow
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    reader = Reader(route)
    location = _LOCATIONS.get(route.name)

    async def handle(request: web.Request) -> web.StreamResponse:
        caller = await verified(bearer(request.headers))
        if caller.is_staff:
            excuse(request)
        allow(caller, place(request))
        access.require_role(caller, route.access)
        command = await reader.read(request)
        if route.method.has_body:
            caller = await verified(bearer(request.headers))  # the body may have taken a while
        async with Deadline():
            content = await serve(caller, command)
        if isinstance(content, TrackReading):
            return await answer_track(request, command, content)
        response = answer(request, route, content)
        if location is not None and isinstance(content, Trip):
            response.headers["Location"] = location.format(id=content.id)
        return response

    return handle


def _serving(to: Handlers) -> Mapping[str, Serve]:
    """What each route of the table does."""

    async def create(caller: Identity, command: TripCreate) -> Trip:
        return (await to.trips.create(caller, command)).trip

    async def edit(caller: Identity, command: TripEdit) -> Trip:
        return (await to.trips.edit(caller, command)).trip

    async def update(caller: Identity, command: TripUpdate) -> Trip:
        return (await to.trips.update(caller, command)).trip

    async def offer(caller: Identity, command: TripOffer) -> Trip:
        return (await to.trips.offer(caller, command)).trip

    async def list_trips(caller: Identity, request: TripList) -> Page[Trip]:
        return await _trips(to.trips, caller, request)

    async def open_chat(caller: Identity, command: ChatOpen) -> Conversation:
        return (await to.chat.open(caller, command)).conversation

    async def send(caller: Identity, draft: Draft) -> Message:
        return (await to.chat.send(caller, draft)).message

    async def list_messages(caller: Identity, request: MessageList) -> Page[Message]:
        return await _messages(to.chat, caller, request)

    async def list_nearby(caller: Identity, request: DriversNearby) -> Page[NearbyDriver]:
        return Page(await to.nearby.find(caller, request), None)

    return {
        "create_trip": create,
        "list_trips": list_trips,
        "get_trip": to.trips.get,
        "get_track": to.tracks.read,
        "edit_trip": edit,
        "update_trip": update,
        "offer_trip": offer,
        "share_trip": to.sharing.share,
        "open_conversation": open_chat,
        "send_message": send,
        "list_messages": list_messages,
        "list_nearby_drivers": list_nearby,
        "push_event": to.pushes.push,
        "revoke_user": to.revocations.revoke_user,
        "revoke_token": to.revocations.revoke_token,
    }


async def _trips(handler: TripHandler, caller: Identity, request: TripList) -> Page[Trip]:
    """One trip more than the page holds tells that there is a next page."""
    query = [caller.key, request.rider_id, request.driver_id, request.status]
    before = None if request.cursor is None else position(request.cursor, query, Id)
    found = await handler.list(caller, request, before)
    items = found[: request.limit]
    return Page(items, cursor(items[-1].id, query) if len(found) > len(items) else None)


class _At(Struct, frozen=True):
    """Where a page of messages starts: one of the two, or neither for the newest."""

    before_seq: Number | None = None
    after_seq: Number | None = None

    def __post_init__(self) -> None:
        if self.before_seq is not None and self.after_seq is not None:
            raise ValueError("one of the two")


async def _messages(handler: ChatHandler, caller: Identity, request: MessageList) -> Page[Message]:
    """Pages go back from the newest or `before_seq`, and forward from `after_seq`."""
    query = [caller.key, request.conversation_id]
    at = _At(request.before_seq, request.after_seq)
    if request.cursor is not None:
        at = position(request.cursor, query, _At)
    history = await handler.history(
        caller,
        ChatHistory(request.conversation_id, at.before_seq, at.after_seq, limit=request.limit),
    )
    items = history.messages
    if not history.has_more or not items:
        return Page(items, None)
    forward = at.after_seq is not None
    end = _At(after_seq=items[-1].seq) if forward else _At(before_seq=items[0].seq)
    return Page(items, cursor(end, query))
