"""Why something is not at the destination, as the last migration noted it; ``--accept`` says that it may be so."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from urllib.parse import unquote

from bulkexim.kinds.compare.difference import ABSENT, Difference, NotCompared
from bulkexim.left_behind import Cause, LeftBehind
from bulkexim.masking import shaped

#: Fields of a version that say to what it points.
_OF_A_SOURCE = frozenset({"source", "run", "logged model"})
_OF_A_FILE = (Cause.FILE_NAME, Cause.FILE_UNREADABLE, Cause.FILE_REFUSED)
_OF_A_VALUE = (Cause.VALUE, Cause.VALUE_REFUSED)


#: Of metric points: the run through which they would have been written, or which point of a run it is.
_RUN = re.compile(r"their run (\S+) (?:\((\S+)\) )?was not moved")
_POINT = re.compile(r"(.*) at step (-?\d+) of logged model ", re.DOTALL)


def cause_of(kind: str, difference: Difference | NotCompared, left: Sequence[LeftBehind]) -> Cause | None:
    """Return why something is not at the destination, if that is known; ``left`` is what the ledger says of it."""
    field, _, key = difference.field.partition(" / ")
    if (noted := noted_cause(kind, difference, left)) is not None:
        return noted
    if field == "artifacts":
        return Cause.FILE_NAME if _is_absent(difference) and ("#" in key or unquote(key) != key) else None
    if isinstance(difference, NotCompared):
        return None
    if kind == "model_version" and field in _OF_A_SOURCE:
        return Cause.VERSION_SOURCE
    return _first({one.cause for one in left}, *_OF_A_VALUE)


def noted_cause(kind: str, difference: Difference | NotCompared, left: Sequence[LeftBehind]) -> Cause | None:
    """Return why something is not at the destination, if the ledger names the very thing."""
    field, _, key = difference.field.partition(" / ")
    if field == "artifacts":
        beginnings = tuple(_beginnings(shaped(key))) if _is_absent(difference) else ()
        return next((one.cause for one in left if one.cause in _OF_A_FILE and one.detail.startswith(beginnings)), None)
    if isinstance(difference, NotCompared):
        return None
    if kind == "model_version" and field in _OF_A_SOURCE:
        return _first({one.cause for one in left}, Cause.VERSION_SOURCE)
    if (kind, field) == ("logged_model", "run"):
        return _first({one.cause for one in left}, Cause.LINK)
    if field in ("aliases", "model inputs", "model outputs") or (kind == "logged_model" and field == "metrics"):
        of_it = {one.cause for one in left if _may_be_on(one.detail, key)}
        return _first(of_it, Cause.LINK, *_OF_A_VALUE) if _is_absent(difference) else None
    return _first({one.cause for one in left if key and repr(key) in one.detail}, *_OF_A_VALUE)


def _is_absent(difference: Difference | NotCompared) -> bool:
    return isinstance(difference, NotCompared) or difference.found == ABSENT


def _beginnings(path: str) -> Iterator[str]:
    """Yield how a sentence on a file or folder begins, or on one of the folders above it."""
    yield from (f"{path}: ", f"{path} (", "every file: ")
    parts = path.rstrip("/").split("/")
    yield from ("/".join(parts[:end]) + "/: " for end in range(1, len(parts)))


def _may_be_on(detail: str, key: str) -> bool:
    """Return whether a sentence may be on the points ``key``: one that names a run or a point is on no other."""
    if point := _POINT.match(detail):
        return key.startswith(f"{point[1]} of run ") and f"step {point[2]}," in key
    named = _RUN.search(detail)
    return named is None or any(f"of run {run_id}" in key for run_id in named.groups() if run_id)


def _first(noted: Collection[Cause], *causes: Cause) -> Cause | None:
    return next((cause for cause in causes if cause in noted), None)
