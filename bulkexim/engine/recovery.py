"""What a ledger does not know, and the destination does: objects are recognised there by their markers."""

from __future__ import annotations

from typing import Any

from bulkexim.kinds.base import Kind
from bulkexim.ledger.journal import Journal


async def recover(kind: Kind[Any, Any], ledger: Journal) -> None:
    """Read the markers at the destination, once for a ledger: an earlier one may have been lost."""
    if f"recovered {kind.name}" not in await ledger.in_thread(ledger.setup):
        await adopt(kind, ledger)
        await ledger.recovered(kind.name)


async def adopt(kind: Kind[Any, Any], ledger: Journal) -> None:
    """Note what stands at the destination by its markers, where the ledger does not know it."""
    async for found in kind.recover():
        await ledger.adopted(kind.name, [(one.src_id, one.name, one.dst_id, one.location, one.digest) for one in found])
