"""What a comparison knows of a kind: what is selected, what is at the destination, and the facts of a pair of objects.

A comparison shares no code with the mover but the way to a server: it reads, selects, translates and lists for itself,
so that what the mover does not see is not unseen here too. A test reads the imports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.ids import MARKER_TAG, DestinationId, SourceId, marker
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.records import Tag, value_of

V = TypeVar("V")

#: Fields by name, in words of MLflow and ids of the destination; a value may be such a mapping again.
Facts = Mapping[str, Any]

#: Of an object that bears no marker.
NOT_OURS = "not from this source"


class Present(NamedTuple):
    """An object of the destination.

    ``src_id`` says from which object of this source it came, by its marker. ``stranger`` says, of one that came from no
    source at all, why it is there, ``needless`` that a migration made and forgot it. ``own`` says that a migration
    created it (and did not join what was there), ``home`` is the id of what holds it. ``twin`` says, beside the
    marker of another source, from which object it came, in the words of `Comparison.birth`.
    """

    id: DestinationId
    name: str
    src_id: SourceId | None = None
    stranger: str = ""
    complete: bool = True
    own: bool = True
    home: str = ""
    deleted: bool = False
    needless: bool = False
    twin: str | None = None


@dataclass(frozen=True, slots=True)
class Subject(Generic[V]):
    """A selected object of the source, and the name that it should have at the destination."""

    id: SourceId
    name: str
    value: V
    deleted: bool = False


class Paired(NamedTuple):
    """An object of the source, and the one that came from it, which may be deleted."""

    subject: Subject[Any]
    dst_id: DestinationId
    deleted: bool = False


class Sides(NamedTuple):
    """What should be there, and what is; a field that one side lacks differs.

    ``writers`` are runs through which something of the object is written.
    """

    expected: Facts
    found: Facts
    writers: tuple[SourceId, ...] = ()


@dataclass(frozen=True, slots=True)
class Partners:
    """Which object of the destination came from which of the source, by kind; of doubled ones, the one to compare."""

    _of: dict[str, dict[SourceId, DestinationId]] = field(default_factory=dict)
    #: The other way round, for every object that bears a marker, doubled ones too.
    _origins: dict[str, dict[str, SourceId]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[SourceId, DestinationId]:
        """Return the pairs of a kind, to be added to."""
        return self._of.setdefault(kind, {})

    def origins(self, kind: str) -> dict[str, SourceId]:
        """Return the objects of the source by those of the destination, to be added to."""
        return self._origins.setdefault(kind, {})

    def find(self, kind: str, src_id: str) -> str:
        """Return the id at the destination, or nothing."""
        return self.of(kind).get(SourceId(src_id), DestinationId(""))


@dataclass(frozen=True, slots=True)
class Compared:
    """Both ends of a comparison and what was paired so far."""

    source: Server
    destination: Server
    settings: Settings
    partners: Partners = field(default_factory=Partners)
    #: Logged models that runs name as outputs, by the side: no search shows the deleted ones.
    named: Mapping[str, set[str]] = field(default_factory=lambda: {"source": set(), "destination": set()})


@dataclass
class Comparison(ABC, Generic[V]):
    """Compares the objects of one kind; reads at both ends and writes nothing."""

    name: ClassVar[str]
    #: The kind that holds objects of this one.
    home: ClassVar[str] = ""
    #: Objects of this kind hold others.
    container: ClassVar[bool] = False
    #: One that is deleted can be restored, or removed.
    restorable: ClassVar[bool] = True
    #: Objects that are read together.
    window: ClassVar[int] = 100

    ends: Compared
    files: Files = field(repr=False)

    @abstractmethod
    def subjects(self) -> AsyncIterator[Sequence[Subject[V]]]:
        """Yield the selected objects of the source."""

    @abstractmethod
    def present(self) -> AsyncIterator[Sequence[Present]]:
        """Yield what the destination has of this kind, whoever brought it."""

    @abstractmethod
    async def existing(self, ids: Sequence[SourceId]) -> set[SourceId]:
        """Return those of some objects that the source still has, selected or not."""

    @abstractmethod
    async def read(self, pairs: Sequence[Paired]) -> Any:
        """Read for a window of pairs together what `sides` needs."""

    @abstractmethod
    async def sides(self, paired: Paired, read: Any) -> Sides | None:
        """Return the facts of one pair; ``None`` where the destination does not have the object any more.

        :raises ObjectError: one of the two cannot be read
        """

    def unseen(self, subject: Subject[V]) -> str:
        """Return why the destination would not show the object that came from ``subject``, or nothing: it would."""
        del subject
        return ""

    def selects(self, found: Present) -> bool:
        """Return whether the selection would name the source object of ``found``, if it still were there."""
        del found
        return True

    async def by_name(self, subject: Subject[V]) -> Present | None:
        """Find an object whose name must be that of the subject, where names are unique."""
        del subject
        return None

    def birth(self, subject: Subject[V]) -> str:
        """Return what no other object of any server has in common with that of the source; nothing where it may.

        By default that is the id, for runs and logged models get theirs by chance.
        """
        return subject.id

    def origin(self, tags: Iterable[Tag], src_id: str) -> SourceId | None:
        """Return the source id that some tags name, if the marker among them proves it."""
        return SourceId(src_id) if value_of(tags, MARKER_TAG) == self.mark(src_id) else None

    def twin(self, tags: Iterable[Tag], src_id: str, birth: str) -> str | None:
        """Return ``birth``, if the marker among some tags is not that of the object ``src_id`` of this source."""
        return birth if birth and value_of(tags, MARKER_TAG) not in ("", self.mark(src_id)) else None

    def mark(self, src_id: str) -> str:
        """Return the marker that the object which came from ``src_id`` bears."""
        return marker(self.ends.source.identity, self.name, src_id)
