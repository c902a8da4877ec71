"""What happens during a migration, as typed events. Progress, logs and the report are consumers of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

import msgspec

from bulkexim.ids import DestinationId, SourceId
from bulkexim.left_behind import Cause


class Outcome(StrEnum):
    """What became of an object in this run."""

    ALREADY = "already there"
    MOVED = "moved"
    FAILED = "failed"
    SKIPPED = "skipped"
    COMPARED = "compared"


class Activity(msgspec.Struct, frozen=True, tag=True):
    """Something that takes its time and is no phase: ``what``, as a line of the progress says it."""

    what: str
    kind: str = "activity"


class PhaseStarted(msgspec.Struct, frozen=True, tag=True):
    """A kind is being listed and moved; ``kept`` names what of each object only tags can carry."""

    kind: str
    kept: tuple[str, ...] = ()


class Looking(msgspec.Struct, frozen=True, tag=True):
    """Both ends are looked at once more; a phase without objects of its own."""

    kind: str = "last look"


class Skipped(msgspec.Struct, frozen=True, tag=True):
    """Objects of a kind were left out on demand."""

    kind: str
    objects: int


class PhaseSized(msgspec.Struct, frozen=True, tag=True):
    """The number of objects of a kind became known: of all its passes so far."""

    kind: str
    total: int


class Found(msgspec.Struct, frozen=True, tag=True):
    """Objects of a kind were listed at the source."""

    kind: str
    objects: int


class Stepped(msgspec.Struct, frozen=True, tag=True):
    """An object reached a state of the ledger."""

    kind: str
    id: SourceId
    name: str
    state: str
    dst_id: DestinationId | None = None


class FilesCopied(msgspec.Struct, frozen=True, tag=True):
    """Files of an object arrived, or pieces of a large one; ``bytes`` is negative where a piece has to come again.

    What arrived of an object is in its `Finished` too.
    """

    kind: str
    id: SourceId
    files: int
    bytes: int


class Finished(msgspec.Struct, frozen=True, tag=True):
    """An object is done with in this run. ``seconds`` is a duration, ``bytes`` are of artifacts."""

    kind: str
    id: SourceId
    name: str
    outcome: Outcome
    dst_id: DestinationId | None = None
    attempts: int = 0
    seconds: float = 0.0
    bytes: int = 0
    cause: str = ""
    error: str = ""
    temporary: bool = False


class PhaseEnded(msgspec.Struct, frozen=True, tag=True):
    """Every object of a kind is done with, ``seconds`` after the phase began."""

    kind: str
    seconds: float


class Uncarried(msgspec.Struct, frozen=True, tag=True):
    """Objects of a kind stay behind at the source, for this version of bulkexim does not move the kind."""

    kind: str
    objects: int
    more: bool = False


class StaysBehind(msgspec.Struct, frozen=True, tag=True):
    """Something of an object that arrived is not at the destination, or something could not be counted.

    ``cause`` is one of `bulkexim.left_behind.Cause`; ``id`` and ``name`` are empty where it belongs to no one object.
    """

    kind: str
    cause: Cause
    detail: str
    id: SourceId = SourceId("")
    name: str = ""


class Noted(msgspec.Struct, frozen=True, tag=True):
    """What of an object that is there MLflow's API cannot carry as it is, and what became of that."""

    kind: str
    id: SourceId
    remarks: tuple[tuple[str, str], ...]


class OutageBegan(msgspec.Struct, frozen=True, tag=True):
    """A server answers no call since ``since`` (seconds of the epoch), and is waited for: ``patience`` seconds in all.

    ``server`` is the word for it ("destination", "source storage"); ``trouble`` is what it does, ``why`` what it said.
    """

    server: str
    trouble: str
    why: str
    since: float
    patience: float
    kind: str = "outage"

    @property
    def text(self) -> str:
        """The event as a sentence without its full stop."""
        time = datetime.fromtimestamp(self.since).astimezone().strftime("%H:%M:%S")
        return f"the {self.server} {self.trouble} since {time} ({self.why}), waiting up to {self.patience:g} s"


class OutageEnded(msgspec.Struct, frozen=True, tag=True):
    """The server answers again, ``seconds`` after the outage began."""

    server: str
    seconds: float
    kind: str = "outage"

    @property
    def text(self) -> str:
        """The event as a sentence without its full stop."""
        return f"the {self.server} answers again after {self.seconds:.0f} s"


class Warned(msgspec.Struct, frozen=True, tag=True):
    """Something that the user should know before he trusts the outcome, in one or two sentences."""

    text: str
    kind: str = "warning"


class Why(StrEnum):
    """Why something at the destination is one too many."""

    DOUBLED = "doubled"
    HALF_MADE = "half made"
    UNNEEDED = "not needed any more"


class Leftover(msgspec.Struct, frozen=True, tag=True):
    """Something that a migration made at the destination, and that should not stand there."""

    kind: str
    dst_id: DestinationId
    name: str
    why: Why
    detail: str


class Change(StrEnum):
    """How an object of the source is not as it was when it was moved."""

    NEW = "new"
    CHANGED = "changed"
    GROWING = "still being written"


class Changed(msgspec.Struct, frozen=True, tag=True):
    """The source went on while it was read; the next run carries this object as it is by then."""

    kind: str
    id: SourceId
    name: str
    how: Change


Event = (
    Activity
    | PhaseStarted
    | Looking
    | Skipped
    | PhaseSized
    | Found
    | Stepped
    | FilesCopied
    | Finished
    | PhaseEnded
    | Uncarried
    | StaysBehind
    | Noted
    | OutageBegan
    | OutageEnded
    | Warned
    | Leftover
    | Changed
)
Listener = Callable[[Event], None]


class Events:
    """Passes every event to every listener, in order."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners

    def emit(self, event: Event) -> None:
        """Tell all listeners."""
        for listener in self._listeners:
            listener(event)
