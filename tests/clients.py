"""Real clients under one interface: python-socketio's, and the official one in a Node process."""

import asyncio
import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

import socketio

WAIT_S: Final = 15
_SHOWN: Final = 10
_JS: Final = Path(__file__).parent / "js" / "clients.mjs"

Event = tuple[str, Any]


class Refused(Exception):
    """A CONNECT_ERROR. `code` is `data.code`."""

    def __init__(self, message: str, data: Any) -> None:
        super().__init__(message)
        self.code = data.get("code") if isinstance(data, dict) else None


class Client(ABC):
    """One connection, and everything that it heard, in order."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.disconnected = asyncio.Event()
        self._news = asyncio.Condition()

    @abstractmethod
    async def call(self, event: str, *args: Any) -> Any:
        """Emit with an acknowledgement, and return that."""

    @abstractmethod
    async def emit(self, event: str, *args: Any) -> None: ...

    @abstractmethod
    async def close(self) -> None: ...

    @property
    def user_id(self) -> str:
        """As the server said it in `session:ready`."""
        user_id: str = self.heard("session:ready")[0]["user_id"]
        return user_id

    def heard(self, name: str) -> list[Any]:
        return [payload for event, payload in self.events if event == name]

    async def hears(self, name: str, matches: Callable[[Any], bool] = lambda _payload: True) -> Any:
        """The first event of this name that matches, past or to come."""

        def found() -> list[Any]:
            return [payload for payload in self.heard(name) if matches(payload)]

        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: bool(found())), WAIT_S)
            except TimeoutError:
                newest = self.events[-_SHOWN:]
                raise AssertionError(f"no matching {name}; heard last: {newest}") from None
        return found()[0]

    async def ok(self, event: str, *args: Any) -> Any:
        """Call, and insist on success."""
        answer = await self.call(event, *args)
        assert answer["ok"] is True, f"{event}{args}: {answer}"
        return answer

    async def refused(self, event: str, *args: Any) -> Any:
        """Call, and return the error."""
        answer = await self.call(event, *args)
        assert answer["ok"] is False, f"{event}{args}: {answer}"
        return answer["error"]

    async def _note(self, event: str, payload: Any) -> None:
        async with self._news:
            self.events.append((event, payload))
            self._news.notify_all()


class PythonClient(Client):
    def __init__(self, parser: str) -> None:
        super().__init__()
        serializer = "msgpack" if parser == "msgpack" else "default"
        self._client = socketio.AsyncClient(serializer=serializer, reconnection=False)
        self._client.on("*", self._heard)
        self._client.on("connect_error", self._refusal)
        self._client.on("disconnect", self._ended)
        self._refused: Any = None

    @classmethod
    async def connect(
        cls,
        url: str,
        auth: Mapping[str, Any] | None,
        *,
        parser: str,
        transports: Sequence[str],
        headers: Mapping[str, str],
    ) -> Self:
        client = cls(parser)
        try:
            await client._client.connect(
                url,
                auth=auth,
                transports=list(transports),
                headers=dict(headers),
                wait_timeout=WAIT_S,
            )
        except socketio.exceptions.ConnectionError as error:
            refused = client._refused if isinstance(client._refused, dict) else {}
            raise Refused(refused.get("message", str(error)), refused.get("data")) from error
        return client

    async def call(self, event: str, *args: Any) -> Any:
        return await self._client.call(event, args, timeout=WAIT_S)

    async def emit(self, event: str, *args: Any) -> None:
        await self._client.emit(event, args)

    async def close(self) -> None:
        await self._client.disconnect()

    async def _heard(self, event: str, payload: Any = None) -> None:
        await self._note(event, payload)

    async def _refusal(self, error: Any) -> None:
        self._refused = error

    async def _ended(self, *_reason: Any) -> None:
        self.disconnected.set()


class JsClient(Client):
    def __init__(self, process: "JsProcess", number: int) -> None:
        super().__init__()
        self._process = process
        self._number = number
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.upgraded = asyncio.Event()
        self.reason: str | None = None
        self.comes_back: bool | None = None
        """Once disconnected: whether it tries to connect again by itself."""

    async def call(self, event: str, *args: Any) -> Any:
        return await self._process.answered(self._number, event, args)

    async def emit(self, event: str, *args: Any) -> None:
        self._process.tell(do="emit", client=self._number, event=event, args=args)

    async def close(self) -> None:
        self._process.tell(do="close", client=self._number)

    async def take(self, said: dict[str, Any]) -> None:
        """What Node says of this client."""
        what = said["on"]
        if what == "event":
            await self._note(said["event"], said.get("payload"))
        elif what == "connect" and not self.opened.done():
            self.opened.set_result(None)
        elif what == "connect_error" and not said["active"] and not self.opened.done():
            self.opened.set_exception(Refused(said["message"], said["data"]))
        elif what == "disconnect":
            self.reason, self.comes_back = said["reason"], said["active"]
            self.disconnected.set()
        elif what == "upgrade":
            self.upgraded.set()


class JsProcess:
    """A Node process with any number of official clients."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._numbers = itertools.count(1)
        self._clients: dict[int, JsClient] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def start(cls) -> Self:
        process = await asyncio.create_subprocess_exec(
            "node",
            str(_JS),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=16 * 1024 * 1024,
        )
        started = cls(process)
        assert await started._line() == {"on": "started"}, "npm ci in tests/js was not run"
        started._reading = asyncio.create_task(started._read())
        return started

    async def connect(
        self,
        url: str,
        auth: Mapping[str, Any] | None,
        *,
        parser: str,
        transports: Sequence[str],
        headers: Mapping[str, str],
        reconnection: bool = False,
    ) -> JsClient:
        number = next(self._numbers)
        client = self._clients[number] = JsClient(self, number)
        self.tell(
            do="open",
            client=number,
            url=url,
            auth=auth,
            parser=parser,
            transports=list(transports),
            headers=dict(headers),
            reconnection=reconnection,
        )
        await asyncio.wait_for(client.opened, WAIT_S)
        return client

    async def answered(self, client: int, event: str, args: Sequence[Any]) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        self.tell(do="call", client=client, id=number, event=event, args=args)
        return await asyncio.wait_for(answer, WAIT_S)

    def tell(self, **command: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await asyncio.wait_for(self._process.wait(), WAIT_S)
        if self._reading is not None:
            await self._reading

    async def _read(self) -> None:
        while said := await self._line():
            if said["on"] == "answer":
                self._answers.pop(said["id"]).set_result(said["answer"])
            else:
                await self._clients[said["client"]].take(said)

    async def _line(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        said: dict[str, Any] | None = json.loads(line) if line else None
        return said
