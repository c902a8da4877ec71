"""Objects that arrived without some of their files or values: what an end did not give or take is tried again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bulkexim.ids import SourceId
from bulkexim.kinds.run_writes import awaited_model
from bulkexim.kinds.scope import Pair
from bulkexim.left_behind import Cause, LeftBehind, accepts

#: What may have been mended since: rights, a limit, a disk. A name stays what it is.
MENDABLE = (Cause.FILE_UNREADABLE, Cause.FILE_REFUSED, Cause.VALUE_REFUSED)


async def incomplete(pair: Pair, kind: str, ids: Iterable[SourceId]) -> dict[SourceId, int]:
    """Return those of the objects ``ids`` of which more may arrive by now, with the number of what stayed behind."""
    causes = {cause for cause in MENDABLE if not accepts(pair.settings.accept, cause)}
    left = await pair.ledger.left_behind(kind, ids)
    come = await _models_that_came(pair, left)
    return {
        src_id: len(found)
        for src_id, found in left.items()
        if any(one.cause in causes or awaited_model(one) in come for one in found)
    }


async def _models_that_came(pair: Pair, left: Mapping[SourceId, Sequence[LeftBehind]]) -> set[SourceId]:
    """Return the logged models that runs read, which were not at the destination then, and are there by now."""
    awaited = {model_id for found in left.values() for one in found if (model_id := awaited_model(one)) is not None}
    rows = await pair.ledger.rows("logged_model", awaited)
    return {src_id for src_id, row in rows.items() if row.dst_id is not None}
