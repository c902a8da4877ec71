"""Tells the ledger what a comparison found wrong, so that the next run moves just that again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.engine.binding import bind
from bulkexim.engine.migration import Ends
from bulkexim.engine.verification import Finding, Verdict
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.listings import each, logged_model
from bulkexim.kinds.logged_model import LoggedModelKind
from bulkexim.kinds.run_translation import DELETED
from bulkexim.ledger.files import holding
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.opening import journal


@dataclass(slots=True)
class Wrong:
    """A listener that keeps which objects a comparison found missing, or differing in what can be mended, by kind."""

    missing: dict[str, list[SourceId]] = field(default_factory=dict)
    differing: dict[str, list[SourceId]] = field(default_factory=dict)

    def __call__(self, finding: Finding) -> None:
        """Take one finding."""
        if finding.id is None or not finding.mendable:
            return
        if finding.verdict is Verdict.MISSING or finding.lost:
            self.missing.setdefault(finding.kind, []).append(finding.id)
        else:
            self.differing.setdefault(finding.kind, []).append(finding.id)
            self.differing.setdefault("run", []).extend(finding.writers)

    @property
    def objects(self) -> int:
        """How many objects are missing or differ."""
        return sum(len(ids) for found in (self.missing, self.differing) for ids in found.values())


async def _hidden(destination: Server, ledger: Journal, ids: Sequence[SourceId]) -> set[SourceId]:
    """Return those of some logged models that stand at the destination, deleted as they should be.

    No listing shows them, so a comparison may miss one; and each that is made again stays for ever.
    """
    rows = [row for row in (await ledger.rows(LoggedModelKind.name, ids)).values() if row.digest.endswith(DELETED)]
    there = {row.dst_id: row.src_id for row in rows if row.dst_id is not None}
    return {there[DestinationId(one)] for one in await each(partial(logged_model, destination), there)}


async def mark_for_repair(servers: Ends, settings: Settings, wrong: Wrong) -> None:
    """Note in the ledger what is not at the destination any more, and what has to be written again.

    :raises BulkeximError: the ledger cannot be written
    """
    async with holding(settings.work_dir), journal(settings.work_dir) as ledger:
        await bind(ledger, *servers)
        for kind, ids in wrong.missing.items():
            hidden = await _hidden(servers[1], ledger, ids) if kind == LoggedModelKind.name else set()
            await ledger.forgotten(kind, *(src_id for src_id in ids if src_id not in hidden))
        for kind, ids in wrong.differing.items():
            await ledger.unsealed(kind, *ids)
