"""Objects that the source lists and cannot read, in words: of which kind each is, and where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bulkexim.ends.server import Server
from bulkexim.left_behind import Cause, LeftBehind


class _Listed(NamedTuple):
    """A kind, the order in which it is listed, and what is lost with an object of it."""

    kind: str
    order: str
    too: str = ""


#: By the route that lists them.
_LISTED = {
    "experiments/search": _Listed("experiment", "by id", ", so neither can the runs and models in it"),
    "runs/search": _Listed("run", "by start time"),
    "registered-models/search": _Listed("registered_model", "by name", ", so neither can its versions"),
    "model-versions/search": _Listed("model_version", "by name and number"),
    "logged-models/search": _Listed("logged_model", "by creation time"),
}


def unread(source: Server) -> Iterator[tuple[str, LeftBehind]]:
    """Yield each object that could not be read, by its kind; it is not known which one that is."""
    for row in source.unread.rows if source.unread else ():
        listed = _LISTED.get(row.path, _Listed(row.path, "as listed"))
        detail = f"number {row.place:,} of its listing ({listed.order}) cannot be read{listed.too}: {row.problem}"
        yield listed.kind, LeftBehind(Cause.NOT_COUNTED, detail)
