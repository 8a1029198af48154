"""The types that are in a type: what has to be described, and under which name."""

import types
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct, structs

Kind = Any
"""A type, also one that is no class: a union, a generic with its argument, a list of something."""

PREFIX: Final = "#/components/schemas/"


def name_of(kind: Kind) -> str:
    """The name of its schema: the type's own, `TripPage` for `Page[Trip]`."""
    of = "".join(argument.__name__ for argument in get_args(kind))
    return f"{of}{_class_of(kind).__name__}"


def msgspec_name_of(kind: Kind) -> str:
    of = "".join(f"_{argument.__name__}_" for argument in get_args(kind))
    return f"{_class_of(kind).__name__}{of}"


def ref(kind: Kind) -> dict[str, Any]:
    """A reference to the schema of a type, or to one of those of a union."""
    if _is_union(kind):
        return {"anyOf": [ref(part) for part in get_args(kind)]}
    return {"type": "null"} if kind is type(None) else {"$ref": f"{PREFIX}{name_of(kind)}"}


def named(reference: Mapping[str, Any]) -> str:
    """The name of what a reference points to; empty for what is no reference."""
    address: str = reference.get("$ref", "")
    return address.rpartition("/")[2]


def references(document: object) -> Iterator[str]:
    """The names of the schemas that a part of a document refers to."""
    match document:
        case {"$ref": str(address), **rest} if address.startswith(PREFIX):
            yield address.removeprefix(PREFIX)
            yield from references(rest)
        case dict():
            for value in document.values():
                yield from references(value)
        case list():
            for value in document:
                yield from references(value)


def first_of(kind: Kind) -> Kind:
    """The type itself, or the first one of a union."""
    return get_args(kind)[0] if _is_union(kind) else kind


def structs_in(kinds: Iterable[Kind]) -> dict[Kind, None]:
    """The structs among types, and in their fields."""
    return {part: None for part in _all(kinds) if is_struct(_class_of(part))}


def choices_in(kinds: Iterable[Kind]) -> dict[type[StrEnum], None]:
    """The enumerations among types, and in their fields."""
    return {
        part: None for part in _all(kinds) if isinstance(part, type) and issubclass(part, StrEnum)
    }


def is_struct(kind: Kind) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def struct_of(kind: Kind) -> type[Struct]:
    """The class behind a struct type, which may be a generic with its argument."""
    struct: type[Struct] = _class_of(kind)
    return struct


def describable(kind: Kind) -> Kind:
    """The struct itself; a stand-in where msgspec describes it not.

    msgspec refuses unions of structs that it could not tell apart in reading. Those that are only
    written are fine; their stand-in has references in their place.
    """
    if get_origin(kind) is not None or not any(_is_choice(hint) for hint in _hints(kind)):
        return kind
    fields = [
        (field.encode_name, _referred(hint) if _is_choice(hint) else hint, field.default)
        if not field.required
        else (field.encode_name, _referred(hint) if _is_choice(hint) else hint)
        for field, hint in zip(structs.fields(kind), _hints(kind), strict=True)
    ]
    return msgspec.defstruct(name_of(kind), fields, kw_only=True)


def always_sent(struct: type[Struct]) -> set[str]:
    """The fields that are never left out when the struct is written."""
    spares = struct.__struct_config__.omit_defaults
    return {
        field.encode_name
        for field in structs.fields(struct)
        if (field.required or not spares) and msgspec.UnsetType not in get_args(field.type)
    }


def never_null(struct: type[Struct]) -> set[str]:
    """The fields that are left out where they would be null."""
    spares = struct.__struct_config__.omit_defaults
    return {
        field.encode_name
        for field in structs.fields(struct)
        if spares and field.default is None and field.default is not NODEFAULT
    }


def _class_of(kind: Kind) -> Kind:
    """The class of a generic type with its argument; of others, the type itself."""
    origin: Kind = get_origin(kind)
    return kind if origin is None else origin


def _is_union(kind: Kind) -> bool:
    return _class_of(kind) in (Union, types.UnionType)


def _all(kinds: Iterable[Kind]) -> dict[Kind, None]:
    seen: dict[Kind, None] = {}
    for kind in kinds:
        _walk(kind, seen)
    return seen


def _walk(kind: Kind, seen: dict[Kind, None]) -> None:
    """Note a type, and what is in it, each once, in the order of their coming."""
    if kind in seen:
        return
    seen[kind] = None
    for part in _within(kind):
        _walk(part, seen)


def _within(kind: Kind) -> Iterator[Kind]:
    is_annotated = _class_of(kind) is Annotated
    yield from get_args(kind)[:1] if is_annotated else get_args(kind)
    if is_struct(_class_of(kind)):
        yield from _hints(_class_of(kind))


def _hints(struct: type[Struct]) -> list[Kind]:
    hints = get_type_hints(struct, include_extras=True)
    return [hints[name] for name in struct.__struct_fields__]


def _is_choice(hint: Kind) -> bool:
    return _is_union(hint) and sum(map(is_struct, get_args(hint))) > 1


def _referred(union: Kind) -> Kind:
    return Annotated[Any, Meta(extra_json_schema=ref(union))]
