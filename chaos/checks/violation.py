"""A promise that was not kept: which, to whom, about what."""

from msgspec import Struct

from models.fields import Id


class Violation(Struct, frozen=True):
    """`about` is the trip or conversation whose timeline shows it, where it is about one."""

    promise: str
    who: str
    what: str
    about: Id | None = None

    def __str__(self) -> str:
        about = f" [{self.about}]" if self.about else ""
        return f"{self.promise}: {self.who}: {self.what}{about}"
