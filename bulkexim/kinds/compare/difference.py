"""Compares the facts of two objects field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

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


_MISSING = object()


def differences(expected: Mapping[str, Any], found: Mapping[str, Any], path: str = "") -> Iterator[Difference]:
    """Yield every field that differs, by its path, such as ``tags / team``."""
    for key in sorted(expected.keys() | found.keys()):
        field = f"{path} / {key}" if path else str(key)
        one, other = expected.get(key, _MISSING), found.get(key, _MISSING)
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
