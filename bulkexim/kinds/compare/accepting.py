"""Which differences are what ``--accept`` says may stay behind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from urllib.parse import unquote

from bulkexim.kinds.compare.difference import ABSENT, Difference
from bulkexim.left_behind import Cause, LeftBehind

#: Fields of a version that say to what it points.
_OF_A_SOURCE = frozenset({"source", "run", "logged model"})
_OF_A_FILE = (Cause.FILE_NAME, Cause.FILE_UNREADABLE, Cause.FILE_REFUSED)
_OF_A_VALUE = (Cause.VALUE, Cause.VALUE_REFUSED)


def cause_of(kind: str, difference: Difference, left: Sequence[LeftBehind]) -> Cause | None:
    """Return why something is not at the destination, if that is known; ``left`` is what the ledger says of it."""
    field, _, key = difference.field.partition(" / ")
    noted = {one.cause for one in left}
    if field == "artifacts":
        if difference.found != ABSENT:
            return None
        named = next((one.cause for one in left if one.cause in _OF_A_FILE and key in one.detail), None)
        return named or (Cause.FILE_NAME if "#" in key or unquote(key) != key else None)
    if kind == "model_version" and field in _OF_A_SOURCE:
        return Cause.VERSION_SOURCE
    if (kind, field) == ("logged_model", "run"):
        return _first(noted, Cause.LINK)
    if field in ("aliases", "model inputs", "model outputs") or (kind == "logged_model" and field == "metrics"):
        return _first(noted, Cause.LINK, *_OF_A_VALUE) if difference.found == ABSENT else None
    return _first(noted, *_OF_A_VALUE)


def _first(noted: Collection[Cause], *causes: Cause) -> Cause | None:
    return next((cause for cause in causes if cause in noted), None)
