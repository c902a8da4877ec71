"""Objects that arrived without some of their files or values: what an end did not give or take is tried again."""

from __future__ import annotations

from collections.abc import Iterable

from bulkexim.ids import SourceId
from bulkexim.kinds.scope import Pair
from bulkexim.left_behind import Cause, accepts

#: What may have been mended since: rights, a limit, a disk. A name stays what it is.
MENDABLE = (Cause.FILE_UNREADABLE, Cause.FILE_REFUSED, Cause.VALUE_REFUSED)


async def incomplete(pair: Pair, kind: str, ids: Iterable[SourceId]) -> dict[SourceId, int]:
    """Return those of the objects ``ids`` of which more may arrive by now, with the number of what stayed behind."""
    causes = {cause for cause in MENDABLE if not accepts(pair.settings.accept, cause)}
    left = await pair.ledger.left_behind(kind, ids)
    return {src_id: len(found) for src_id, found in left.items() if causes & {one.cause for one in found}}
