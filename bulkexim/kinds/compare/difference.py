"""Compares the facts of two objects field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from bulkexim.errors import ObjectError

#: Characters of a value that are shown.
SHOWN = 200
ABSENT = "(nothing)"


class Difference(msgspec.Struct, frozen=True):
    """One field that is not the same: what should be there and what is, as text."""

    field: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.field}: expected {self.expected}, found {self.found}"


class NotCompared(msgspec.Struct, frozen=True):
    """One field that an end does not give, so that nobody knows whether it is the same; ``temporary``: this time."""

    field: str
    why: str
    temporary: bool = False

    def __str__(self) -> str:
        return f"{self.field}: cannot be compared: {self.why}"


class Unread(NamedTuple):
    """What stands in the facts of an object for a value that its end does not give."""

    why: str
    temporary: bool = False

    @classmethod
    def of(cls, error: ObjectError) -> Unread:
        """Return what stands for a value that an error kept from us."""
        return cls(str(error), error.temporary)


_MISSING = object()


def differences(
    expected: Mapping[str, Any], found: Mapping[str, Any], path: str = ""
) -> Iterator[Difference | NotCompared]:
    """Yield every field that differs, or that one side does not give, by its path, such as ``tags / team``."""
    for key in sorted(expected.keys() | found.keys()):
        field = f"{path} / {key}" if path else str(key)
        one, other = expected.get(key, _MISSING), found.get(key, _MISSING)
        unread = next((side for side in (one, other) if isinstance(side, Unread)), None)
        if unread is not None:
            yield NotCompared(field, *unread)
            continue
        inner = [side for side in (one, other) if side is not _MISSING]
        if all(isinstance(side, Mapping) for side in inner):
            yield from differences(_mapping(one), _mapping(other), field)
        elif one != other:
            yield Difference(field, _text(one), _text(other))


def _mapping(side: Any) -> Mapping[str, Any]:
    return {} if side is _MISSING else side


def _text(value: Any) -> str:
    if value is _MISSING:
        return ABSENT
    text = value if isinstance(value, str) and value else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"
