"""Chat: messages, how far everybody has read, who is writing."""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from handlers.answers import Answer, ConversationIs, History, Marked, Sent
from handlers.ports import Clock, Publish
from handlers.threads import Thread, Threads
from models import rooms, stores
from models.commands import ChatClose, ChatHistory, ChatOpen, MarkRead, ShowTyping
from models.errors import Closed, Forbidden, Invalid
from models.facts import ChatClosed, ChatOpened, ChatReceipt, ChatTyping
from models.fields import Id, Millis, new_id
from models.identity import Identity, Role
from models.messages import Conversation, Draft, Kind, Message, Read

WRITABLE_MS: Final = 2_000
"""How long a right to write, once read, stands while nothing is heard of its trip."""


class ChatHandler:
    """What the `chat:*` commands do. An answered message or receipt is stored, then told."""

    def __init__(self, kept: stores.Stores, publish: Publish, clock: Clock) -> None:
        self._messages = kept.messages
        self._receipts = kept.receipts
        self._conversations = kept.conversations
        self._threads = Threads(kept)
        self._writable = _Writable(clock)
        self._publish = publish
        self._clock = clock

    async def send(self, caller: Identity, draft: Draft, version: int | None = None) -> Sent:
        """Store a message, once however often it is sent; told again, it reaches nobody twice.

        `version` is the newest that was heard of the trip whose conversation it is, where somebody
        listens. While it stays the same, who may write is not read for each message: who is taken
        off writes no more once that is heard, and whatever is heard, after `WRITABLE_MS`.
        """
        if draft.kind is Kind.SYSTEM and caller.role is not Role.SERVICE:
            raise Forbidden("system messages are the service's", path="kind")
        thread = self._writable.get(caller, draft.conversation_id, version)
        if thread is None:
            asked_at = self._clock()
            thread = await self._threads.of(caller, draft.conversation_id, draft.event)
            self._writable.remember(caller, thread, version, asked_at)
        message = await self._stored(caller, draft, thread)
        self._publish(thread.room, message, version=thread.version)
        return Sent(message=message)

    async def history(self, caller: Identity, command: ChatHistory) -> History:
        # First the messages' end, then who may read them: nobody gets what came after it left.
        newest = await self._messages.newest_seq(command.conversation_id)
        thread = await self._threads.of(caller, command.conversation_id, command.event)
        after, up_to = _window(command, thread.after, newest)
        messages = await self._messages.between(thread.id, after, up_to)
        forward = command.after_seq is not None
        return History(
            messages=messages, has_more=up_to < newest if forward else after > thread.after
        )

    async def mark_read(self, caller: Identity, command: MarkRead, connection_id: str) -> Marked:
        """Raise one's own numbers; the other parties and one's other connections are told."""
        thread = await self._threads.of(caller, command.conversation_id, command.event)
        wanted = Read(command.delivered_seq or 0, command.read_seq or 0)
        await self._require_written(thread.id, wanted)
        read = await self._receipts.advance(thread.id, caller.user_id, wanted)
        receipt = ChatReceipt(thread.id, caller.user_id, read.delivered_seq, read.read_seq)
        self._publish(thread.room, receipt, source=connection_id, version=thread.version)
        return Marked(delivered_seq=read.delivered_seq, read_seq=read.read_seq)

    async def show_typing(self, caller: Identity, command: ShowTyping) -> Answer:
        thread = await self._threads.of(caller, command.conversation_id, command.event)
        if not self._takes_messages(thread):
            raise Closed("the conversation takes no more messages")
        typing = ChatTyping(thread.id, caller.user_id, command.typing)
        self._publish(thread.typing_room, typing, source=caller.key, version=thread.version)
        return Answer()

    async def open(self, caller: Identity, command: ChatOpen) -> ConversationIs:
        now = self._clock()
        conversation = await self._conversations.create(
            Conversation(
                id=new_id(now),
                participants=tuple(dict.fromkeys(command.participants)),
                created_at=now,
                created_by=caller.user_id,
                title=command.title,
            ),
            caller.key,
            command.client_id,
        )
        if conversation.closed_at is None:
            for user_id in conversation.participants:
                self._publish(rooms.user(user_id), ChatOpened(conversation.id))
        return ConversationIs(conversation=conversation)

    async def close(self, caller: Identity, command: ChatClose) -> Answer:
        """End a conversation that `open` began; a trip's ends with its trip."""
        thread = await self._threads.of(caller, command.conversation_id, command.event)
        if thread.is_a_trips:
            raise Forbidden("a trip's conversation ends with its trip")
        await self._conversations.close(thread.id, self._clock())
        self._publish(thread.room, ChatClosed(thread.id))
        return Answer()

    async def _stored(self, caller: Identity, draft: Draft, thread: Thread) -> Message:
        if not self._takes_messages(thread):
            stored = await self._messages.find(draft, caller.user_id)
            if stored is None:
                raise Closed("the conversation takes no more messages")
            return stored
        message, _ = await self._messages.append(draft, caller.user_id, self._clock())
        return message

    async def _require_written(self, conversation_id: Id, wanted: Read) -> None:
        newest = await self._messages.newest_seq(conversation_id)
        for name in ("delivered_seq", "read_seq"):
            if getattr(wanted, name) > newest:
                raise Invalid(f"at most {newest}, the newest message's seq", path=name)

    def _takes_messages(self, thread: Thread) -> bool:
        return self._clock() < thread.open_until


class _Right(Struct, frozen=True):
    """What a reading said of a trip's conversation, which was at this version or a later one."""

    thread: Thread
    version: int
    asked_at: Millis


class _Writable:
    """Where who may write: what was read within `WRITABLE_MS`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rights: OrderedDict[tuple[str, Id], _Right] = OrderedDict()
        """The oldest first."""

    def get(self, caller: Identity, conversation_id: Id, version: int | None) -> Thread | None:
        right = self._rights.get((caller.key, conversation_id))
        if right is None or right.version != version or self._is_old(right):
            return None
        return right.thread

    def remember(
        self, caller: Identity, thread: Thread, version: int | None, asked_at: Millis
    ) -> None:
        """`version` is what was heard of, and `asked_at` the time, before the thread was read."""
        if version is None or not thread.is_a_trips:
            return
        self._rights.pop((caller.key, thread.id), None)
        self._rights[caller.key, thread.id] = _Right(thread, version, asked_at)
        while self._rights and self._is_old(next(iter(self._rights.values()))):
            self._rights.popitem(last=False)

    def _is_old(self, right: _Right) -> bool:
        return not 0 <= self._clock() - right.asked_at < WRITABLE_MS


def _window(command: ChatHistory, floor: int, newest: int) -> tuple[int, int]:
    """The seqs asked for, as (after, up to). No seq is missing, so a page is a range of numbers."""
    if command.after_seq is not None:
        after = max(command.after_seq, floor)
        return after, min(after + command.limit, newest)
    up_to = newest if command.before_seq is None else min(command.before_seq - 1, newest)
    return max(up_to - command.limit, floor), up_to
