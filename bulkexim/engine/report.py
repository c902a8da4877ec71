"""The report of a run, counted from its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from bulkexim.engine.events import (
    Changed,
    Event,
    Finished,
    Found,
    Leftover,
    Outcome,
    PhaseEnded,
    PhaseStarted,
    Skipped,
    StaysBehind,
    Uncarried,
    Warned,
)
from bulkexim.ledger.queries import Note
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


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a run did. ``exit_code`` is what the command ends with.

    ``leftovers`` are the first of what stands at the destination without need, ``left`` is the number of all.
    ``left_behind`` is what is not at the destination of objects that arrived, or could not be counted.
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
    seconds: float = 0.0
    temporary: bool = False

    @property
    def failed(self) -> int:
        """How many objects were not moved."""
        return sum(kind.failed for kind in self.kinds)

    @property
    def not_accepted(self) -> tuple[str, ...]:
        """The words for ``--accept`` that would cover everything that stays behind and is not accepted yet."""
        causes = [str(one.cause) for one in self.left_behind if not one.accepted]
        return (*causes, *(one.kind for one in self.uncarried if not one.accepted))

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


class Counting:
    """Collects events into a `Report`; ``accept`` holds the words of what may stay behind."""

    def __init__(self, accept: Sequence[str] = ()) -> None:
        self._accept = accept
        self._counts: dict[str, Counter[str]] = {}
        self._seconds: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()
        self._failures: list[Failure] = []
        self._uncarried: list[UnsupportedKind] = []
        self._behind = Behind(accept)
        self._warnings: list[str] = []
        self._kept: dict[str, tuple[str, ...]] = {}
        self._lasting = False
        self._left: list[Leftover] = []
        self._leftovers = 0
        self._changed: dict[str, list[Changed]] = {}
        self._changes: Counter[str] = Counter()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        match event:
            case PhaseStarted(kind=kind, kept=kept):
                self._counts.setdefault(kind, Counter())
                self._kept[kind] = kept
            case Skipped(kind=kind, objects=objects):
                self._counts.setdefault(kind, Counter()).update({"found": objects, Outcome.SKIPPED: objects})
            case Found(kind=kind, objects=objects):
                self._counts[kind]["found"] += objects
            case PhaseEnded(kind=kind, seconds=seconds):
                self._seconds[kind] += seconds  # type: ignore[assignment]  # a Counter adds up floats as well
            case Uncarried(kind=kind, objects=objects, more=more):
                self._uncarried.append(UnsupportedKind(kind, objects, more, accepts(self._accept, kind)))
            case Finished():
                self._finished(event)
            case _:
                self._aside(event)

    def _aside(self, event: Event) -> None:
        match event:
            case StaysBehind():
                self._behind.add(event)
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

    def _finished(self, event: Finished) -> None:
        counts = self._counts[event.kind]
        counts[event.outcome] += 1
        counts["bytes"] += event.bytes
        if event.outcome is Outcome.FAILED:
            self._causes[event.cause] += 1
            self._lasting |= not event.temporary
            _hold(self._failures, Failure(event.kind, event.id, event.name, event.cause, event.error))

    def report(self, *, seconds: float, requests: dict[str, int], notes: list[Note]) -> Report:
        """Return the report so far."""
        return Report(
            kinds=tuple(self._kind(kind, counts) for kind, counts in self._counts.items()),
            causes=dict(self._causes.most_common()),
            failures=tuple(self._failures),
            uncarried=tuple(self._uncarried),
            left_behind=self._behind.by_cause(),
            warnings=tuple(dict.fromkeys(self._warnings)),
            remarks=(*self._always_kept(), *remarked(notes)),
            leftovers=tuple(self._left),
            left=self._leftovers,
            changed=tuple(
                ChangedKind(kind, self._changes[kind], tuple(examples)) for kind, examples in self._changed.items()
            ),
            requests=requests,
            seconds=seconds,
            temporary=bool(self._causes) and not self._lasting,
        )

    def _always_kept(self) -> list[Remarked]:
        there = {kind: counts[Outcome.MOVED] + counts[Outcome.ALREADY] for kind, counts in self._counts.items()}
        return [
            Remarked(f"{kind}: {', '.join(kept)}", there[kind], "tags bulkexim.source.*")
            for kind, kept in self._kept.items()
            if kept and there[kind]
        ]

    def _kind(self, kind: str, counts: Counter[str]) -> KindReport:
        return KindReport(
            kind=kind,
            found=counts["found"],
            already=counts[Outcome.ALREADY],
            moved=counts[Outcome.MOVED],
            failed=counts[Outcome.FAILED],
            skipped=counts[Outcome.SKIPPED],
            bytes=counts["bytes"],
            seconds=float(self._seconds[kind]),
        )


def _hold(held: list[H], one: H) -> None:
    if len(held) < HELD:
        held.append(one)


def remarked(notes: list[Note]) -> tuple[Remarked, ...]:
    """Count remarks of one sort, the most frequent first."""
    counts: Counter[str] = Counter()
    examples: dict[str, Any] = {}
    for note in notes:
        counts[note.what] += 1
        examples.setdefault(note.what, f"{note.kind} {note.src_id}: {note.detail}")
    return tuple(Remarked(what, number, examples[what]) for what, number in counts.most_common())
