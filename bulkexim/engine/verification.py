"""What a comparison of both ends found, counted from its verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum

import msgspec

from bulkexim.config import Level
from bulkexim.engine.report import DIFFERENT
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.compare.difference import Difference, NotCompared
from bulkexim.left_behind import Cause

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

    ``temporary`` says of an object that could not be compared that a later try may well succeed. ``lasting`` are the
    fields of ``differences`` that stay as they are when it is written again. ``writers`` are runs that have to be
    written again too, for the metrics of a logged model are written through them. ``excess`` says of an extra one that
    a sweep removes it, ``lost`` of one that is deleted that nothing can restore it.

    ``unread`` are fields that an end did not give; in all others the object is as ``verdict`` says. ``left_behind``
    gives the cause for fields of ``differences`` that the last migration could not bring, and said so. ``hidden`` is
    what a local store holds of the object and MLflow does not show; its causes are in ``left_behind`` too.
    """

    kind: str
    verdict: Verdict
    name: str
    id: SourceId | None = None
    dst_id: DestinationId | None = None
    differences: tuple[Difference, ...] = ()
    detail: str = ""
    temporary: bool = False
    lasting: tuple[str, ...] = ()
    writers: tuple[SourceId, ...] = ()
    excess: bool = False
    lost: bool = False
    unread: tuple[NotCompared, ...] = ()
    left_behind: dict[str, Cause] = {}
    hidden: tuple[str, ...] = ()

    @property
    def mendable(self) -> bool:
        """Whether moving the object again would mend something of it."""
        if self.verdict is Verdict.DIFFERS:
            kept = {*self.lasting, *self.left_behind}
            return any(one.field not in kept for one in self.differences)
        return self.verdict is Verdict.MISSING and self.id is not None


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
    from objects which exist at the source and are not part of the selection. ``mendable`` counts objects of which
    something would be mended by moving them again, ``excess`` those that a sweep would remove. ``accepted`` counts
    differences that may be (``--accept``), by their cause; they are in no other figure. ``left_behind`` counts objects
    of which the last migration said that something stays behind, by the cause, and ``kept_back`` those that nothing but
    that makes different.
    """

    level: Level
    kinds: tuple[KindVerified, ...] = ()
    findings: tuple[Finding, ...] = ()
    unheld: int = 0
    unselected: int = 0
    mendable: int = 0
    excess: int = 0
    accepted: dict[str, int] = {}
    left_behind: dict[str, int] = {}
    kept_back: int = 0
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
        self._unheld = self._mendable = self._excess = self._kept_back = 0
        self._accepted: Counter[str] = Counter()
        self._left_behind: Counter[str] = Counter()
        self._lasting = False
        self.unselected = 0

    def kind(self, name: str) -> None:
        """Begin a kind, so that it is told even where it has no objects."""
        self._counts.setdefault(name, Counter())

    def accepted(self, cause: Cause) -> None:
        """Count a difference that may be."""
        self._accepted[cause] += 1

    def found(self, finding: Finding) -> None:
        """Take the verdict on one object."""
        self._counts.setdefault(finding.kind, Counter())[finding.verdict] += 1
        if finding.verdict is Verdict.SAME:
            return
        if finding.verdict is Verdict.NOT_COMPARABLE:
            self._lasting |= not finding.temporary
        self._mendable += finding.mendable
        self._excess += finding.excess
        self._left_behind.update(set(map(str, finding.left_behind.values())))
        self._kept_back += bool(finding.left_behind) and not finding.mendable
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
            mendable=self._mendable,
            excess=self._excess,
            accepted={str(cause): number for cause, number in self._accepted.items()},
            left_behind=dict(sorted(self._left_behind.items())),
            kept_back=self._kept_back,
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
