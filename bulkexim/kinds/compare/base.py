"""What a comparison knows of a kind: what is at the destination, whose it is, and the facts of a pair of objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from bulkexim.ids import MARKER_TAG, DestinationId, SourceId, marker
from bulkexim.kinds.base import Draft, Kind, Remark
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.wire import Tag, tag_value

V = TypeVar("V")
P = TypeVar("P")

#: Fields by name, in words of MLflow and ids of the destination; a value may be such a mapping again.
Facts = Mapping[str, Any]


#: Of an object that bears no marker.
NOT_OURS = "not from this source"


class Present(NamedTuple):
    """An object of the destination.

    ``src_id`` says from which object of this source it came, by its marker. ``stranger`` says, of one that came from no
    source at all, why it is there. ``own`` says that a migration created it (and did not join what was there), ``home``
    is the id of what holds it, ``deleted`` says that it is in the bin.
    """

    id: DestinationId
    name: str
    location: str = ""
    src_id: SourceId | None = None
    stranger: str = ""
    complete: bool = True
    own: bool = True
    home: str = ""
    deleted: bool = False


class Paired(NamedTuple):
    """An object of the source, translated, and the id of the one that came from it, which may be in the bin."""

    draft: Draft[Any]
    dst_id: DestinationId
    binned: bool = False


class Sides(NamedTuple):
    """What should be there, and what is; a field that one side lacks differs."""

    expected: Facts
    found: Facts
    remarks: Sequence[Remark] = ()


@dataclass
class Comparison(ABC, Generic[V, P]):
    """Compares the objects of one kind; reads at both ends and writes nothing."""

    #: The kind that holds objects of this one.
    home: ClassVar[str] = ""

    pair: Pair
    kind: Kind[V, P]
    files: Files = field(repr=False)

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

    def deleted(self, draft: Draft[P]) -> bool:
        """Return whether an object of the source is in the bin."""
        del draft
        return False

    def selects(self, found: Present) -> bool:
        """Return whether the selection would name the source object of ``found``, if it still were there."""
        del found
        return True

    async def by_name(self, draft: Draft[P]) -> Present | None:
        """Find an object whose name must be that of the draft, where names are unique."""
        del draft
        return None

    def origin(self, tags: Iterable[Tag], src_id: str) -> SourceId | None:
        """Return the source id that some tags name, if the marker among them proves it."""
        held = tag_value(tags, MARKER_TAG)
        return SourceId(src_id) if held == marker(self.pair.source.identity, self.kind.name, src_id) else None

    async def translation(self, kind: str, ids: Iterable[str]) -> dict[str, str]:
        """Return the destination ids of some objects of the source; those that are not there are absent."""
        rows = await self.pair.ledger.rows(kind, {SourceId(one) for one in ids if one})
        return {src_id: row.dst_id for src_id, row in rows.items() if row.dst_id is not None}
