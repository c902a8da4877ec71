"""Tells the ledger what a comparison found wrong, so that the next run moves just that again."""

from __future__ import annotations

from dataclasses import dataclass, field

from bulkexim.config import Settings
from bulkexim.engine.binding import bind
from bulkexim.engine.migration import Ends
from bulkexim.engine.verification import Finding, Verdict
from bulkexim.ids import SourceId
from bulkexim.ledger.files import holding
from bulkexim.ledger.journal import journal


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


async def mark_for_repair(servers: Ends, settings: Settings, wrong: Wrong) -> None:
    """Note in the ledger what is not at the destination any more, and what has to be written again.

    :raises BulkeximError: the ledger cannot be written
    """
    async with holding(settings.work_dir), journal(settings.work_dir) as ledger:
        await bind(ledger, *servers)
        for kind, ids in wrong.missing.items():
            await ledger.forgotten(kind, *ids)
        for kind, ids in wrong.differing.items():
            await ledger.unsealed(kind, *ids)
