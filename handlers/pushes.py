"""Events of the company's own, pushed to the connections that a user has."""

from handlers.ports import Publish
from models import rooms
from models.facts import Pushed
from models.identity import Identity
from models.requests import UserPush


class PushHandler:
    def __init__(self, publish: Publish) -> None:
        self._publish = publish

    async def push(self, _caller: Identity, request: UserPush) -> None:
        """Tell every connection of the user, here and on other instances. At most once."""
        pushed = Pushed(request.name, request.data, request.role)
        self._publish(rooms.user(request.user_id), pushed)
