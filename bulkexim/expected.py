"""Values that the user gives, checked against the types they should have; what is wrong is told in words."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bulkexim.errors import UsageError

#: What msgspec calls its types, in words.
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a text",
    "array": "a list",
    "object": "a table",
    "time": "a time of day",
    "null": "nothing",
}
#: Characters of a value that a sentence repeats.
_SHOWN = 80


class _Field(NamedTuple):
    name: str
    type: Any


def nearest(word: str, known: Sequence[str], told: Sequence[str] = ()) -> str:
    """Say which of the ``known`` words may be meant by one that is none of them, or else which ``told`` ones there are.

    Without ``told`` that is all of the known ones.
    """
    close = get_close_matches(word, known, n=1)
    return f"Did you mean {str(close[0])!r}?" if close else f"Possible are: {', '.join(told or known)}."


def checked(value: msgspec.Struct) -> None:
    """Give each field of a struct that was just made its declared type: a list becomes a tuple, a text a path.

    :raises UsageError: a field holds something else; the sentence names it and says what was expected
    """
    for field in _fields(type(value)):
        given = getattr(value, field.name)
        try:
            converted = msgspec.convert(given, field.type, dec_hook=_path)
        except msgspec.ValidationError as error:
            raise UsageError(f"{field.name}: {in_words(str(error))}.", "Give such a value, or leave it out.") from error
        if not is_plain(converted):
            raise UsageError(f"{field.name}: holds a NUL, or is not in UTF-8.", "Write it as plain text.")
        msgspec.structs.force_setattr(value, field.name, converted)


@cache
def _fields(struct: type[msgspec.Struct]) -> tuple[_Field, ...]:
    return tuple(_Field(field.name, field.type) for field in msgspec.structs.fields(struct))


def _path(wanted: type, given: Any) -> Any:
    if wanted is Path and isinstance(given, str | os.PathLike):
        return Path(given)
    raise ValueError(f"expected a {wanted.__name__.lower()}, got {shown(given)}")


def in_words(expected: str) -> str:
    """Return what msgspec expected, such as "Expected `int | null`, got `str`", without its type names."""
    problem = expected.partition(" - at `$")[0]
    plain = problem.replace(" | null", "").replace("`", "").replace("Expected", "expected").replace(" | ", " or ")
    return re.sub(rf"\b({'|'.join(_WORDS)})\b", lambda found: _WORDS[found[0]], plain)


def shown(value: object) -> str:
    """Return a value as a sentence repeats it."""
    return repr(value)[:_SHOWN]


def is_plain(value: object) -> bool:
    """Return whether texts can be sent and be part of a path; what a shell passes on need not be UTF-8."""
    match value:
        case str():
            return not re.search("[\0\ud800-\udfff]", value)
        case Path():
            return is_plain(str(value))
        case tuple() | list():
            return all(map(is_plain, value))
        case dict():
            return all(map(is_plain, (*value, *value.values())))
        case _:
            return True
