"""What a comparison of both ends found, counted from its verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import msgspec

from bulkexim.config import Level
from bulkexim.engine.report import DIFFERENT, Remarked, remarked
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.difference import Difference
from bulkexim.ledger.queries import Note

#: Findings that a verification holds; listeners get all of them.
FINDINGS_HELD = 1000


class Verdict(StrEnum):
    """What a comparison says of one object."""

    SAME = "same"
    DIFFERS = "differs"
    MISSING = "missing"
    EXTRA = "extra"
    NOT_COMPARABLE = "not comparable"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One object with its verdict. ``id`` is that of the source, ``detail`` says more in words.

    ``temporary`` says of an object that could not be compared that a later try may well succeed.
    """

    kind: str
    verdict: Verdict
    name: str
    id: SourceId | None = None
    dst_id: DestinationId | None = None
    differences: tuple[Difference, ...] = ()
    detail: str = ""
    temporary: bool = False


class KindVerified(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of objects of one kind: selected at the source, at the destination, and by verdict."""

    kind: str
    source: int = 0
    destination: int = 0
    same: int = 0
    differing: int = 0
    missing: int = 0
    extra: int = 0
    not_comparable: int = 0


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a comparison. ``exit_code`` is what the command ends with.

    ``unheld`` counts findings beyond those that are held; ``unselected`` counts objects at the destination that came
    from objects which exist at the source and are not part of the selection.
    """

    level: Level
    kinds: tuple[KindVerified, ...] = ()
    findings: tuple[Finding, ...] = ()
    unheld: int = 0
    unselected: int = 0
    remarks: tuple[Remarked, ...] = ()
    requests: dict[str, int] = {}
    seconds: float = 0.0
    temporary: bool = False

    @property
    def different(self) -> int:
        """How many objects differ, are missing or are extra."""
        return sum(kind.differing + kind.missing + kind.extra for kind in self.kinds)

    @property
    def not_comparable(self) -> int:
        """How many objects could not be compared."""
        return sum(kind.not_comparable for kind in self.kinds)

    @property
    def exit_code(self) -> int:
        """0 equal, 4 different; 3 some objects could not be compared, 5 they may well be the next time."""
        if self.different:
            return DIFFERENT
        if not self.not_comparable:
            return 0
        return 5 if self.temporary else 3


FindingListener = Callable[[Finding], None]


class Tally:
    """Collects findings into a `Verification`."""

    def __init__(self, level: Level, *listeners: FindingListener) -> None:
        self._level = level
        self._listeners = listeners
        self._counts: dict[str, Counter[Verdict]] = {}
        self._findings: list[Finding] = []
        self._notes: list[Note] = []
        self._unheld = 0
        self._lasting = False
        self.unselected = 0

    def kind(self, name: str) -> None:
        """Begin a kind, so that it is told even where it has no objects."""
        self._counts.setdefault(name, Counter())

    def remark(self, kind: str, src_id: SourceId, what: str, detail: str) -> None:
        """Note something of an object that MLflow's API cannot carry."""
        self._notes.append(Note(kind, src_id, what, detail))

    def found(self, finding: Finding) -> None:
        """Take the verdict on one object."""
        self._counts.setdefault(finding.kind, Counter())[finding.verdict] += 1
        if finding.verdict is Verdict.SAME:
            return
        if finding.verdict is Verdict.NOT_COMPARABLE:
            self._lasting |= not finding.temporary
        for listener in self._listeners:
            listener(finding)
        if len(self._findings) < FINDINGS_HELD:
            self._findings.append(finding)
        else:
            self._unheld += 1

    def verification(self, *, seconds: float, requests: dict[str, int]) -> Verification:
        """Return the outcome so far."""
        kinds = tuple(_kind(name, counts) for name, counts in self._counts.items() if counts)
        return Verification(
            level=self._level,
            kinds=kinds,
            findings=tuple(self._findings),
            unheld=self._unheld,
            unselected=self.unselected,
            remarks=remarked(self._notes),
            requests=requests,
            seconds=seconds,
            temporary=any(kind.not_comparable for kind in kinds) and not self._lasting,
        )


def _kind(name: str, counts: Counter[Verdict]) -> KindVerified:
    paired = counts[Verdict.SAME] + counts[Verdict.DIFFERS] + counts[Verdict.NOT_COMPARABLE]
    return KindVerified(
        kind=name,
        source=paired + counts[Verdict.MISSING],
        destination=paired + counts[Verdict.EXTRA],
        same=counts[Verdict.SAME],
        differing=counts[Verdict.DIFFERS],
        missing=counts[Verdict.MISSING],
        extra=counts[Verdict.EXTRA],
        not_comparable=counts[Verdict.NOT_COMPARABLE],
    )
