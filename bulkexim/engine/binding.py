"""Ties a ledger to its two servers, also when the destination has another address by now."""

from __future__ import annotations

from bulkexim.ends.server import Server
from bulkexim.errors import Refused
from bulkexim.kinds.run import RunKind
from bulkexim.kinds.run_values import SOURCE_TAG, get_run
from bulkexim.kinds.wire import provenance_of
from bulkexim.ledger.journal import Journal

#: Runs of the ledger for which a destination with another address is asked.
ASKED = 5


async def bind(ledger: Journal, source: Server, destination: Server) -> list[str]:
    """Tie the ledger to a pair of servers, and return warnings.

    A destination whose address is not that of the ledger is taken for the same server if it holds runs which the ledger
    brought there: their ids are given by a server and never twice.

    :raises FatalError: the ledger belongs to another pair
    """
    held, now = (await ledger.in_thread(ledger.setup)).get("destination"), destination.identity
    warnings = []
    if held not in (None, now) and await _holds_what_was_moved(ledger, source, destination):
        await ledger.in_thread(ledger.destination_is_now, now)
        warnings.append(f"The destination was {held} before. {now} holds runs that were moved there: it is the same.")
    await ledger.in_thread(ledger.bind, source.identity, destination.identity)
    return warnings


async def _holds_what_was_moved(ledger: Journal, source: Server, destination: Server) -> bool:
    for src_id, dst_id in await ledger.sample(RunKind.name, ASKED):
        try:
            run = await get_run(destination, dst_id)
        except Refused:
            continue
        made = provenance_of(run.data.tags, SOURCE_TAG)
        return made.src_id == src_id and made.is_from(source.identity, RunKind.name)
    return False
