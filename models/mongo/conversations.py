"""Conversations that are no trip's in MongoDB."""

from collections.abc import Sequence

from models.fields import Id, Millis
from models.grouped import Grouped
from models.messages import Conversation
from models.mongo.attempts import insert_once
from models.mongo.documents import from_document, to_document
from models.mongo.driver import SHARED, Collection, Document, answering


class MongoConversations:
    def __init__(self, collection: Collection) -> None:
        self._collection = collection
        self._searches = Grouped(self._open_with_all, SHARED)

    async def create(self, conversation: Conversation, client_id: Id) -> Conversation:
        document = _document(conversation, client_id)
        unique = {"created_by": conversation.created_by, "client_id": client_id}
        return from_document(await insert_once(self._collection, document, unique), Conversation)

    async def get(self, conversation_id: Id) -> Conversation | None:
        document = await self._collection.get(conversation_id)
        return from_document(document, Conversation) if document else None

    async def close(self, conversation_id: Id, at: Millis) -> None:
        still_open = {"_id": conversation_id, "open": True}
        await self._collection.change(still_open, {"$set": {"open": False, "closed_at": at}})

    @answering()
    async def open_with(self, user_id: Id) -> Sequence[Conversation]:
        found = await self._searches.add(user_id)
        return [from_document(document, Conversation) for document in found]

    async def _open_with_all(self, user_ids: list[Id]) -> list[list[Document]]:
        users = set(user_ids)
        found = await self._collection.find({"participants": {"$in": list(users)}, "open": True})
        with_user: dict[Id, list[Document]] = {user_id: [] for user_id in users}
        for document in found:
            for user_id in users.intersection(document["participants"]):
                with_user[user_id].append(document)
        return [with_user[user_id] for user_id in user_ids]


def _document(conversation: Conversation, client_id: Id) -> Document:
    return {
        "_id": conversation.id,
        "client_id": client_id,
        "open": conversation.closed_at is None,
        **to_document(conversation),
    }
