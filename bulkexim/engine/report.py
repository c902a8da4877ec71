"""The report of a run, counted from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

import msgspec

from bulkexim.engine.counts import Counts, KindCounts
from bulkexim.engine.events import (
    Changed,
    Event,
    Finished,
    Leftover,
    Noted,
    Outcome,
    PhaseEnded,
    PhaseStarted,
    StaysBehind,
    Uncarried,
    Warned,
)
from bulkexim.left_behind import Cause, accepts

H = TypeVar("H")

#: Failures, leftovers and changes that a report holds; the log has all of them.
HELD = 100
#: Exit codes: something did not arrive; two ends are not the same; the next run may well bring what is missing.
INCOMPLETE, DIFFERENT, TEMPORARY = 3, 4, 5


class KindReport(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one kind: numbers of objects, bytes of artifacts, seconds."""

    kind: str
    found: int = 0
    already: int = 0
    moved: int = 0
    failed: int = 0
    skipped: int = 0
    bytes: int = 0
    seconds: float = 0.0


class Failure(msgspec.Struct, frozen=True):
    """One object that was not moved."""

    kind: str
    id: str
    name: str
    cause: str
    error: str


class UnsupportedKind(msgspec.Struct, frozen=True):
    """Objects of a kind that this version does not move; ``more`` says that there are more than were counted.

    ``accepted`` says that they may stay behind (``--accept``).
    """

    kind: str
    objects: int
    more: bool = False
    accepted: bool = False


class BehindForCause(msgspec.Struct, frozen=True):
    """How many things of objects that arrived stay behind for one cause, with the first of them."""

    cause: Cause
    number: int
    accepted: bool
    first: tuple[StaysBehind, ...]


class Remarked(msgspec.Struct, frozen=True):
    """How often something of an object could not be carried, with one example."""

    what: str
    objects: int
    example: str


class ChangedKind(msgspec.Struct, frozen=True):
    """How many objects of a kind changed at the source meanwhile, and some of them."""

    kind: str
    objects: int
    examples: tuple[Changed, ...]


class Repeats(msgspec.Struct, frozen=True):
    """How often a server had to be asked again: requests that were repeated, and its outages, with their seconds."""

    requests: int = 0
    outages: int = 0
    seconds: float = 0.0


def not_accepted(left_behind: Sequence[BehindForCause], uncarried: Sequence[UnsupportedKind]) -> tuple[str, ...]:
    """Return the words for ``--accept`` that would cover what stays behind and is not accepted yet."""
    causes = [str(one.cause) for one in left_behind if not one.accepted]
    return (*causes, *(one.kind for one in uncarried if not one.accepted))


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. ``exit_code`` is what the command ends with.

    ``leftovers`` are the first of what stands at the destination without need, ``left`` is the number of all.
    ``left_behind`` is what is not at the destination of objects that arrived, or could not be counted. ``requests`` and
    ``repeats`` are by end.
    """

    kinds: tuple[KindReport, ...] = ()
    causes: dict[str, int] = {}
    failures: tuple[Failure, ...] = ()
    uncarried: tuple[UnsupportedKind, ...] = ()
    left_behind: tuple[BehindForCause, ...] = ()
    warnings: tuple[str, ...] = ()
    remarks: tuple[Remarked, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    left: int = 0
    changed: tuple[ChangedKind, ...] = ()
    requests: dict[str, int] = {}
    repeats: dict[str, Repeats] = {}
    seconds: float = 0.0
    temporary: bool = False

    @property
    def failed(self) -> int:
        """How many objects were not moved."""
        return sum(kind.failed for kind in self.kinds)

    @property
    def not_accepted(self) -> tuple[str, ...]:
        """The words for ``--accept`` that would cover everything that stays behind and is not accepted yet."""
        return not_accepted(self.left_behind, self.uncarried)

    @property
    def exit_code(self) -> int:
        """0 all accounted for, 3 something did not arrive, 5 it may well the next time, 4 something is in excess."""
        if self.failed:
            return TEMPORARY if self.temporary else INCOMPLETE
        if self.left:
            return DIFFERENT
        return INCOMPLETE if self.not_accepted else 0


class Behind:
    """Counts what stays behind by its cause; ``accept`` holds the words of what may."""

    def __init__(self, accept: Sequence[str]) -> None:
        self._accept = accept
        self._first: dict[Cause, list[StaysBehind]] = {}
        self._numbers: Counter[Cause] = Counter()

    def add(self, event: StaysBehind) -> None:
        """Take one."""
        self._numbers[event.cause] += 1
        _hold(self._first.setdefault(event.cause, []), event)

    def by_cause(self) -> tuple[BehindForCause, ...]:
        """Return what was added so far."""
        return tuple(
            BehindForCause(cause, self._numbers[cause], accepts(self._accept, cause), tuple(first))
            for cause, first in sorted(self._first.items())
        )


class Remarks:
    """Counts remarks by what they say of objects, with one example of each."""

    def __init__(self) -> None:
        self._numbers: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def add(self, kind: str, src_id: str, remarks: Iterable[tuple[str, str]]) -> None:
        """Take what is remarked of one object: what it is, and what became of it."""
        for what, detail in dict(sorted(remarks, reverse=True)).items():
            self._numbers[what] += 1
            example = f"{kind} {src_id}: {detail}"
            # Objects come in any order; the same one is shown every time.
            self._examples[what] = min(example, self._examples.get(what, example))

    def sorted(self) -> tuple[Remarked, ...]:
        """Return them, the most frequent first."""
        most = sorted(self._numbers.items(), key=lambda one: (-one[1], one[0]))
        return tuple(Remarked(what, number, self._examples[what]) for what, number in most)


class Counting:
    """Collects events into a `Report`; ``accept`` holds the words of what may stay behind."""

    def __init__(self, accept: Sequence[str] = ()) -> None:
        self._accept = accept
        self.counts = Counts()
        self._seconds: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._uncarried: list[UnsupportedKind] = []
        self._behind = Behind(accept)
        self._remarks = Remarks()
        self._warnings: list[str] = []
        self._kept: dict[str, tuple[str, ...]] = {}
        self._lasting = False
        self._left: list[Leftover] = []
        self._leftovers = 0
        self._changed: dict[str, list[Changed]] = {}
        self._changes: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        self.counts(event)
        match event:
            case PhaseStarted(kind=kind, kept=kept):
                self._kept[kind] = kept
            case PhaseEnded(kind=kind, seconds=seconds):
                self._seconds[kind] += seconds  # type: ignore[assignment]  # a Counter adds up floats as well
            case Uncarried(kind=kind, objects=objects, more=more):
                self._uncarried.append(UnsupportedKind(kind, objects, more, accepts(self._accept, kind)))
            case Finished(outcome=Outcome.FAILED):
                self._failed(event)
            case _:
                self._aside(event)

    def _aside(self, event: Event) -> None:
        match event:
            case StaysBehind():
                self._behind.add(event)
            case Noted(kind=kind, id=src_id, remarks=remarks):
                self._remarks.add(kind, src_id, remarks)
            case Warned(text=text):
                self._warnings.append(text)
            case Leftover():
                self._leftovers += 1
                _hold(self._left, event)
            case Changed(kind=kind):
                self._changes[kind] += 1
                _hold(self._changed.setdefault(kind, []), event)
            case _:
                pass

    def _failed(self, event: Finished) -> None:
        self._causes[event.cause] += 1
        self._lasting |= not event.temporary
        _hold(self._failures, Failure(event.kind, event.id, event.name, event.cause, event.error))

    def report(
        self, *, seconds: float, requests: dict[str, int], repeats: Mapping[str, Repeats] = MappingProxyType({})
    ) -> Report:
        """Return the report so far."""
        return Report(
            kinds=tuple(map(self._kind, self.counts.values())),
            causes=dict(self._causes.most_common()),
            failures=tuple(self._failures),
            uncarried=tuple(self._uncarried),
            left_behind=self._behind.by_cause(),
            warnings=tuple(dict.fromkeys(self._warnings)),
            remarks=(*self._always_kept(), *self._remarks.sorted()),
            leftovers=tuple(self._left),
            left=self._leftovers,
            changed=tuple(
                ChangedKind(kind, self._changes[kind], tuple(examples)) for kind, examples in self._changed.items()
            ),
            requests=requests,
            repeats=dict(repeats),
            seconds=seconds,
            temporary=bool(self._causes) and not self._lasting,
        )

    def _always_kept(self) -> list[Remarked]:
        return [
            Remarked(f"{kind}: {', '.join(kept)}", self.counts[kind].complete, "tags bulkexim.source.*")
            for kind, kept in self._kept.items()
            if kept and self.counts[kind].complete
        ]

    def _kind(self, counts: KindCounts) -> KindReport:
        return KindReport(
            kind=counts.kind,
            found=counts.found,
            already=counts.already,
            moved=counts.moved,
            failed=counts.failed,
            skipped=counts.skipped,
            bytes=counts.bytes,
            seconds=float(self._seconds[counts.kind]),
        )


def _hold(held: list[H], one: H) -> None:
    if len(held) < HELD:
        held.append(one)
