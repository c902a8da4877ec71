"""How far a migration is, as its ledger says: while a process migrates, and afterwards."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bulkexim.ledger.files import is_locked
from bulkexim.ledger.queries import Queries, Tally
from bulkexim.ledger.schema import State


class KindStanding(msgspec.Struct, frozen=True):
    """Objects of a kind: found so far, in all (where known), complete, begun, waiting, failed last time."""

    kind: str
    found: int
    total: int | None
    complete: int
    in_progress: int
    waiting: int
    failed: int
    bytes: int


class Standing(msgspec.Struct, frozen=True):
    """How far a migration is. ``changed`` is when a count changed last (UTC, ISO)."""

    source: str
    destination: str
    running: bool
    kinds: tuple[KindStanding, ...]
    causes: dict[str, int]
    changed: str | None

    @property
    def unfinished(self) -> bool:
        """Whether something that was found is not complete."""
        return any(kind.in_progress or kind.waiting or kind.found > kind.complete for kind in self.kinds)

    def left(self) -> str:
        """Return in words how much is not complete."""
        complete = sum(kind.complete for kind in self.kinds)
        objects = sum(max(kind.found, kind.total or 0, kind.complete) for kind in self.kinds)
        return f"{complete:,} of {objects:,} objects found so far are complete" if objects else "nothing was moved yet"


def read(queries: Queries, work_dir: Path) -> Standing:
    """Count what the ledger of ``work_dir`` holds."""
    setup, phases = queries.setup(), queries.phases()
    tallies: dict[str, list[Tally]] = {}
    for tally in queries.tallies():
        tallies.setdefault(tally.kind, []).append(tally)
    changed = max((at for _, _, at in phases.values()), default=None)
    return Standing(
        source=setup.get("source", ""),
        destination=setup.get("destination", ""),
        running=is_locked(work_dir),
        kinds=tuple(_kind(kind, tallies.get(kind, []), phases) for kind in dict.fromkeys([*phases, *tallies])),
        causes=dict(Counter(failure.cause for failure in queries.failures()).most_common()),
        changed=None if changed is None else datetime.fromtimestamp(changed, UTC).isoformat(timespec="seconds"),
    )


def _kind(kind: str, tallies: list[Tally], phases: dict[str, tuple[int, int | None, float]]) -> KindStanding:
    listed, total, _ = phases.get(kind, (0, None, 0.0))
    found = max(listed, sum(tally.objects for tally in tallies))
    by_state: Counter[State] = Counter()
    for tally in tallies:
        by_state[tally.state] += tally.objects
    return KindStanding(
        kind=kind,
        found=found,
        total=total,
        complete=by_state[State.SEALED],
        in_progress=sum(by_state[state] for state in (State.INTENT, State.CREATED, State.FILLED)),
        waiting=by_state[State.PLANNED],
        failed=sum(tally.failed for tally in tallies),
        bytes=sum(tally.bytes for tally in tallies),
    )
