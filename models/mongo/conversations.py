"""Conversations that are no trip's in MongoDB."""

from collections.abc import Mapping, Sequence

from models.fields import Id, Millis
from models.grouped import Grouped, OnGroup
from models.messages import Conversation
from models.mongo.attempts import Creations
from models.mongo.documents import from_document, to_document, within
from models.mongo.driver import APART_S, READINGS_AT_ONCE, SHARED, Collection, Document


class MongoConversations:
    def __init__(self, collection: Collection, on_group: OnGroup | None = None) -> None:
        """`on_group` is told how many new conversations one write has."""
        self._collection = collection
        self._creations = Creations(collection, on_group)
        self._searches = Grouped(self._open_with_all, SHARED, READINGS_AT_ONCE, apart_s=APART_S)

    async def create(self, conversation: Conversation, creator: str, client_id: Id) -> Conversation:
        unique = {"creator": creator, "client_id": client_id}
        document = _document(conversation) | unique
        return from_document(await self._creations.once(document, unique), Conversation)

    async def get(self, conversation_id: Id) -> Conversation | None:
        document = await self._collection.get(conversation_id)
        return from_document(document, Conversation) if document else None

    async def close(self, conversation_id: Id, at: Millis) -> None:
        still_open = {"_id": conversation_id, "open": True}
        await self._collection.change(still_open, {"$set": {"open": False, "closed_at": at}})

    async def open_with(self, user_id: Id) -> Sequence[Conversation]:
        found = await self._searches.add(user_id)
        return [from_document(document, Conversation) for document in found]

    async def opened(self, since: Millis, until: Millis | None) -> Mapping[Id, Sequence[Id]]:
        where = {"created_at": within(since, until), "open": True}
        found = await self._collection.values(where, "participants")
        return {document["_id"]: document["participants"] for document in found}

    async def _open_with_all(self, user_ids: list[Id]) -> list[list[Document]]:
        users = set(user_ids)
        found = await self._collection.find({"participants": {"$in": list(users)}, "open": True})
        with_user: dict[Id, list[Document]] = {user_id: [] for user_id in users}
        for document in found:
            for user_id in users.intersection(document["participants"]):
                with_user[user_id].append(document)
        return [with_user[user_id] for user_id in user_ids]


def _document(conversation: Conversation) -> Document:
    return {
        "_id": conversation.id,
        "open": conversation.closed_at is None,
        **to_document(conversation),
    }
