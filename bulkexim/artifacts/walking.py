"""Goes through everything below a root, folder by folder; what nobody can ask for is told, and stops nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

from bulkexim.artifacts.failing import is_final
from bulkexim.artifacts.names import DEEPEST, UnsafeName
from bulkexim.artifacts.place import Entry, Place
from bulkexim.errors import ObjectError
from bulkexim.left_behind import Cause

#: Places where folders go on below the deepest one, after which a listing counts as one without an end.
ENDLESS = 20
_NO_END = f"more than {DEEPEST} folders deep in {ENDLESS} places"


async def walk(place: Place) -> AsyncIterator[Entry]:
    """Yield every file below a root, and every folder that stays behind with all that it holds.

    :raises ObjectError: a folder could not be listed, and may be listed later
    """
    folders, too_deep = [Entry("", is_dir=True, size=0)], 0
    while folders:
        folder = folders.pop()
        if too_deep == ENDLESS:
            yield folder.without(Cause.FILE_NAME, f"not looked into, for folders of this object are {_NO_END}")
            continue
        try:
            found = await place.entries(folder.path)
        except UnsafeName as error:
            yield folder.without(Cause.FILE_NAME, str(error))
            continue
        except ObjectError as error:
            if not is_final(error):
                raise
            yield folder.without(Cause.FILE_UNREADABLE, f"it cannot be listed: {error}")
            continue
        inside = [_named(place, entry) for entry in found]
        too_deep += any(entry.is_dir and entry.path.count("/") > DEEPEST for entry in inside)
        going_on = {entry.path: entry for entry in inside if entry.is_dir and entry.left is None}
        for entry in inside:
            if entry.path not in going_on:
                yield entry
            elif not entry.is_dir:
                yield entry._replace(twin=True)
        folders += going_on.values()


def _named(place: Place, entry: Entry) -> Entry:
    """Return an entry, without it where no request can name it."""
    if entry.left is None and (problem := place.unnamed(entry.path)):
        return entry.without(Cause.FILE_NAME, problem)
    return entry
