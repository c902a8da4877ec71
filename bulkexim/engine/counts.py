"""How far each kind has come in a run, counted from its events; report, views and ledger show these numbers."""

from __future__ import annotations

from dataclasses import dataclass, field

from bulkexim.engine.events import (
    Event,
    FilesCopied,
    Finished,
    Found,
    Outcome,
    PhaseSized,
    PhaseStarted,
    Skipped,
    Stepped,
)
from bulkexim.ids import SourceId
from bulkexim.ledger.queries import Progress
from bulkexim.ledger.schema import State

#: How much of the work on an object is behind it in each state; roughly, for it depends on what the object holds.
SHARES = {State.INTENT: 0.0, State.CREATED: 0.2, State.FILLED: 0.9, State.SEALED: 1.0}


@dataclass(slots=True)
class KindCounts:
    """Numbers of objects of one kind, and bytes of artifacts; each object that was found is in one of them only.

    ``total`` is how many there are, where that is known. ``shares`` says of objects that were begun, and are not done
    with, how much of them is done. ``files`` are those that were copied; ``bytes`` are also of objects that were begun.
    """

    kind: str
    found: int = 0
    total: int | None = None
    already: int = 0
    moved: int = 0
    failed: int = 0
    skipped: int = 0
    compared: int = 0
    files: int = 0
    bytes: int = 0
    shares: dict[SourceId, float] = field(default_factory=dict)
    _begun: float = 0.0
    #: Bytes that were counted already, of objects that are not done with.
    _copied: dict[SourceId, int] = field(default_factory=dict)

    @property
    def objects(self) -> int:
        """How many objects there are, as far as is known."""
        return max(self.found, self.total or 0)

    @property
    def complete(self) -> int:
        """How many are at the destination."""
        return self.already + self.moved

    @property
    def done(self) -> int:
        """How many are done with in this run, in whatever way."""
        return self.complete + self.failed + self.skipped + self.compared

    @property
    def progress(self) -> Progress:
        """The numbers as the ledger keeps them."""
        numbers = (self.already, self.moved, self.failed, self.skipped, self.bytes)
        return Progress(self.kind, self.found, self.total, len(self.shares), *numbers)

    @property
    def work(self) -> float:
        """How much was done in this run, in objects: those that were there already took none."""
        return self.done - self.already - self.skipped + self._begun

    def take(self, event: Event) -> None:
        """Count an event of this kind."""
        match event:
            case PhaseSized(total=total):
                self.total = total
            case Found(objects=objects):
                self.found += objects
            case Skipped(objects=objects):
                self.found += objects
                self.skipped += objects
            case Stepped():
                self._step(event.id, SHARES.get(State(event.state), 0.0))
            case FilesCopied(id=src_id, files=files, bytes=copied):
                self.files += files
                self.bytes += copied
                self._copied[src_id] = self._copied.get(src_id, 0) + copied
            case Finished():
                self._step(event.id, None)
                self._finished(event)
            case _:
                pass

    def _step(self, src_id: SourceId, share: float | None) -> None:
        self._begun -= self.shares.pop(src_id, 0.0)
        if share is not None:
            self.shares[src_id] = share
            self._begun += share

    def _finished(self, event: Finished) -> None:
        self.bytes += event.bytes - self._copied.pop(event.id, 0)
        match event.outcome:
            case Outcome.ALREADY:
                self.already += 1
            case Outcome.MOVED:
                self.moved += 1
            case Outcome.FAILED:
                self.failed += 1
            case Outcome.COMPARED:
                self.compared += 1
            case _:
                pass


class Counts(dict[str, KindCounts]):
    """A listener that counts, by kind, in the order in which the kinds were begun.

    What happens to objects of a kind before its phase begins (some runs are created first, for what points to them) is
    not counted: the phase will find them.
    """

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, PhaseStarted | Skipped):
            self.setdefault(event.kind, KindCounts(event.kind))
        if event.kind in self:
            self[event.kind].take(event)
