"""The two clients. Their methods are the functions of `ridewire.calls`, sent to a server."""

import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar
from uuid import uuid4

import anyio
import httpx
import msgspec

from ridewire import calls
from ridewire.bearer import AsyncBearer, Bearer, signing
from ridewire.calls import Call, following
from ridewire.errors import LOST, RidewireError, no_answer, refusal, unreadable
from ridewire.resources import Page
from ridewire.retries import Course, Retries
from ridewire.version import __version__

P = ParamSpec("P")
T = TypeVar("T")
Client = TypeVar("Client")

_CONNECT_WITHIN_S: Final = 3.0
_RETRIES: Final = Retries()
_UNAUTHORIZED: Final = 401


def _sent(describe: Callable[P, Call[T]]) -> Callable[Concatenate["Ridewire", P], T]:
    """A method that sends the call which a function describes."""

    def method(client: "Ridewire", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client._send(describe(*args, **kwargs))

    return _as_method(method, describe)


def _read_through(
    describe: Callable[P, Call[Page[T]]],
) -> Callable[Concatenate["Ridewire", P], Iterator[T]]:
    """A method that reads a list to its end, a page whenever one is needed."""

    def method(client: "Ridewire", /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        call: Call[Page[T]] | None = describe(*args, **kwargs)
        while call is not None:
            page = client._send(call)
            yield from page.items
            call = following(call, page)

    return _as_method(method, describe)


def _sent_async(
    describe: Callable[P, Call[T]],
) -> Callable[Concatenate["AsyncRidewire", P], Coroutine[Any, Any, T]]:
    async def method(client: "AsyncRidewire", /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client._send(describe(*args, **kwargs))

    return _as_method(method, describe)


def _read_through_async(
    describe: Callable[P, Call[Page[T]]],
) -> Callable[Concatenate["AsyncRidewire", P], AsyncIterator[T]]:
    async def method(
        client: "AsyncRidewire", /, *args: P.args, **kwargs: P.kwargs
    ) -> AsyncIterator[T]:
        call: Call[Page[T]] | None = describe(*args, **kwargs)
        while call is not None:
            page = await client._send(call)
            for item in page.items:
                yield item
            call = following(call, page)

    return _as_method(method, describe)


def _as_method(
    method: Callable[Concatenate[Client, P], T], described: Callable[P, object]
) -> Callable[Concatenate[Client, P], T]:
    """The method under the function's name and description, for `help()` and editors."""
    functools.update_wrapper(method, described, assigned=("__module__", "__name__", "__doc__"))
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    parameters = [itself, *inspect.signature(described).parameters.values()]
    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return method


class Ridewire(AbstractContextManager["Ridewire"]):
    """A server, as a back end sees it. Share one between threads; each process needs its own.

    Every method raises `RidewireError` for what the server refuses and where no answer comes, and
    lets through what a function that gives tokens raises.
    """

    create_trip = _sent(calls.create_trip)
    list_trips = _sent(calls.list_trips)
    iter_trips = _read_through(calls.iter_trips)
    get_trip = _sent(calls.get_trip)
    get_track = _sent(calls.get_track)
    edit_trip = _sent(calls.edit_trip)
    update_trip = _sent(calls.update_trip)
    offer_trip = _sent(calls.offer_trip)
    share_trip = _sent(calls.share_trip)
    open_conversation = _sent(calls.open_conversation)
    send_message = _sent(calls.send_message)
    list_messages = _sent(calls.list_messages)
    iter_messages = _read_through(calls.iter_messages)
    list_nearby_drivers = _sent(calls.list_nearby_drivers)
    push_event = _sent(calls.push_event)
    revoke_user = _sent(calls.revoke_user)
    revoke_token = _sent(calls.revoke_token)

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str],
        timeout_s: float = 10.0,
        retries: Retries = _RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        """`url` is the server's, like `https://rides.example`.

        A `token` that is a function is asked for one, and again when that one is refused.
        `timeout_s` is for each part of an attempt: connecting (3 s at most), sending, the answer.
        `http` is a client of your own, with your proxies and certificates; you close it yourself.
        """
        self._server = _Server(url, timeout_s)
        self._bearer = Bearer(token)
        self._retries = retries
        self._http = http or httpx.Client()
        self._owned = http is None

    def _send(self, call: Call[T]) -> T:
        course = Course(call, self._retries)
        request_id = uuid4().hex
        while True:
            token = self._bearer.token()
            outcome = self._attempt(call, request_id, token)
            if _is_refused(outcome) and (other := self._bearer.other_than(token)) != token:
                outcome = self._attempt(call, request_id, other)
            if not isinstance(outcome, RidewireError):
                return outcome
            time.sleep(course.pause_after(outcome))

    def _attempt(self, call: Call[T], request_id: str, token: str) -> T | RidewireError:
        """What came of sending the call once."""
        request = self._server.request(self._http, call, request_id)
        try:
            response = self._http.send(request, auth=signing(token), follow_redirects=False)
        except LOST as error:
            return no_answer(error, request_id)
        return _read(call, response)

    def close(self) -> None:
        if self._owned:
            self._http.close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class AsyncRidewire(AbstractAsyncContextManager["AsyncRidewire"]):
    """The same with `await`, for asyncio and trio. Each event loop needs its own."""

    create_trip = _sent_async(calls.create_trip)
    list_trips = _sent_async(calls.list_trips)
    iter_trips = _read_through_async(calls.iter_trips)
    get_trip = _sent_async(calls.get_trip)
    get_track = _sent_async(calls.get_track)
    edit_trip = _sent_async(calls.edit_trip)
    update_trip = _sent_async(calls.update_trip)
    offer_trip = _sent_async(calls.offer_trip)
    share_trip = _sent_async(calls.share_trip)
    open_conversation = _sent_async(calls.open_conversation)
    send_message = _sent_async(calls.send_message)
    list_messages = _sent_async(calls.list_messages)
    iter_messages = _read_through_async(calls.iter_messages)
    list_nearby_drivers = _sent_async(calls.list_nearby_drivers)
    push_event = _sent_async(calls.push_event)
    revoke_user = _sent_async(calls.revoke_user)
    revoke_token = _sent_async(calls.revoke_token)

    def __init__(
        self,
        url: str,
        *,
        token: str | Callable[[], str | Awaitable[str]],
        timeout_s: float = 10.0,
        retries: Retries = _RETRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """As for `Ridewire`; a function that gives tokens may be asynchronous."""
        self._server = _Server(url, timeout_s)
        self._bearer = AsyncBearer(token)
        self._retries = retries
        self._http = http or httpx.AsyncClient()
        self._owned = http is None

    async def _send(self, call: Call[T]) -> T:
        course = Course(call, self._retries)
        request_id = uuid4().hex
        while True:
            token = await self._bearer.token()
            outcome = await self._attempt(call, request_id, token)
            if _is_refused(outcome) and (other := await self._bearer.other_than(token)) != token:
                outcome = await self._attempt(call, request_id, other)
            if not isinstance(outcome, RidewireError):
                return outcome
            await anyio.sleep(course.pause_after(outcome))

    async def _attempt(self, call: Call[T], request_id: str, token: str) -> T | RidewireError:
        request = self._server.request(self._http, call, request_id)
        try:
            response = await self._http.send(request, auth=signing(token), follow_redirects=False)
        except LOST as error:
            return no_answer(error, request_id)
        return _read(call, response)

    async def close(self) -> None:
        if self._owned:
            await self._http.aclose()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _Server:
    """Where requests go, and what they have in common."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"not the http or https address of a server: {url!r}")
        self._url = url.rstrip("/")
        self._timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_WITHIN_S))

    def request(
        self, http: httpx.Client | httpx.AsyncClient, call: Call[Any], request_id: str
    ) -> httpx.Request:
        headers = {
            "User-Agent": f"ridewire-client/{__version__} Python",
            "X-Request-Id": request_id,
        }
        body = None if call.body is None else msgspec.json.encode(call.body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        return http.build_request(
            call.method,
            self._url + call.path,
            params=call.query or None,
            content=body,
            headers=headers,
            timeout=self._timeout,
        )


def _is_refused(outcome: object) -> bool:
    """Whether the token was not taken, by the server or by a gateway before it."""
    return isinstance(outcome, RidewireError) and outcome.status == _UNAUTHORIZED


def _read(call: Call[T], response: httpx.Response) -> T | RidewireError:
    """The resource in an answer, or the error in it."""
    if not response.is_success:
        return refusal(response)
    try:
        return call.read(response.content)
    except msgspec.MsgspecError as error:
        return unreadable(response, error)
