"""How far a migration is, as its ledger says: while a process migrates, and afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bulkexim.engine.report import Report
from bulkexim.ledger.files import is_locked
from bulkexim.ledger.queries import Progress, Queries


class KindStanding(msgspec.Struct, frozen=True):
    """Objects of a kind that the last run selected: found, in all (where known), and each in one of the others.

    Those which failed are told once, those which wait were not begun yet, skipped are left out on demand.
    """

    kind: str
    found: int
    total: int | None
    complete: int
    in_progress: int
    waiting: int
    failed: int
    skipped: int
    bytes: int


class Standing(msgspec.Struct, frozen=True):
    """How far the last run came, and what it reported at its end; without an end there is no report.

    ``causes`` says why objects failed, the most frequent first. ``failed_before`` are failures of earlier runs that
    this one did not try again: it selected other objects, or was stopped before. ``in_ledger`` counts the complete
    objects of all runs. ``changed`` is when a number changed last (UTC, ISO).
    """

    source: str
    destination: str
    running: bool
    kinds: tuple[KindStanding, ...]
    causes: dict[str, int]
    failed_before: int
    in_ledger: int
    report: Report | None
    changed: str | None

    @property
    def unfinished(self) -> bool:
        """Whether something that was selected is neither complete nor failed."""
        return any(kind.in_progress or kind.waiting or (kind.total or 0) > kind.found for kind in self.kinds)

    @property
    def failed(self) -> int:
        """How many objects of the last run failed."""
        return sum(kind.failed for kind in self.kinds)

    def left(self) -> str:
        """Return in words how much is not complete."""
        objects = sum(max(kind.found, kind.total or 0) - kind.skipped for kind in self.kinds)
        if objects or not self.in_ledger:
            return left(sum(kind.complete for kind in self.kinds), objects)
        return f"the last run left no numbers; {self.in_ledger:,} objects of all runs are complete"


def left(complete: int, objects: int) -> str:
    """Return in words how much is not complete."""
    return f"{complete:,} of {objects:,} objects found so far are complete" if objects else "nothing was moved yet"


def read(queries: Queries, work_dir: Path) -> Standing:
    """Say what the ledger of ``work_dir`` knows of the last run."""
    setup, report, causes = queries.setup(), queries.report(), queries.causes()
    complete, changed = queries.complete_by_kind(), queries.changed_at()
    kinds = tuple(_kind(progress, complete.get(progress.kind, 0)) for progress in queries.progress())
    return Standing(
        source=setup.get("source", ""),
        destination=setup.get("destination", ""),
        running=is_locked(work_dir),
        kinds=kinds,
        causes=causes,
        failed_before=max(0, sum(causes.values()) - sum(kind.failed for kind in kinds)),
        in_ledger=sum(complete.values()),
        report=msgspec.json.decode(report, type=Report) if report else None,
        changed=None if changed is None else datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
    )


def _kind(progress: Progress, complete: int) -> KindStanding:
    # A sweep, or a repair that was stopped, may have taken back what the last run found complete.
    there = min(progress.already + progress.moved, complete)
    rest = progress.found - there - progress.begun - progress.failed - progress.skipped
    return KindStanding(
        kind=progress.kind,
        found=progress.found,
        total=progress.total,
        complete=there,
        in_progress=progress.begun,
        waiting=max(0, rest),
        failed=progress.failed,
        skipped=progress.skipped,
        bytes=progress.bytes,
    )
