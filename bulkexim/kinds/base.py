"""What the engine knows of a kind of object: how it is listed, read, created, filled, found again and sealed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NamedTuple, Self, TypeVar

from bulkexim.errors import ObjectError
from bulkexim.ids import DIGEST_FORM, DestinationId, MadeFrom, SourceId
from bulkexim.ledger.schema import Row, State
from bulkexim.left_behind import LeftBehind
from bulkexim.masking import shaped

V = TypeVar("V")
P = TypeVar("P")


class _Remark(NamedTuple):
    what: str
    detail: str


class Remark(_Remark):
    """Something of an object that MLflow's API cannot carry: what it is, and what became of it.

    A detail that quotes the object does not repeat a secret in it, such as the signature of an address.
    """

    __slots__ = ()

    def __new__(cls, what: str, detail: str) -> Self:
        """Make one."""
        return super().__new__(cls, what, shaped(detail))


#: Of an object that the selection alone would not have brought.
FOR_A_VERSION = Remark("moved because a version points to it", "the selection alone would not have brought it")


@dataclass(frozen=True, slots=True)
class Draft(Generic[P]):
    """One object of the source, translated to what should stand at the destination (``value``).

    ``lane`` is the key of objects that must be moved one after the other. ``waits`` is the id of an object of the same
    kind to which a reference points, and which may still come. ``digest`` covers everything that would be written.
    ``growing`` says that the source may add to it in ways which the digest does not show. ``left`` is what of it will
    not be at the destination. ``earlier`` makes the digest that an earlier release gave to the same content. One that
    is ``last`` is sealed when everything else is there, for nothing can be linked with it afterwards: `Kind.again` is
    asked for it then.
    """

    id: SourceId
    name: str
    value: P
    digest: str
    src_location: str = ""
    lane: str | None = None
    waits: SourceId | None = None
    growing: bool = False
    remarks: tuple[Remark, ...] = ()
    written: str = ""
    left: tuple[LeftBehind, ...] = ()
    earlier: Callable[[], str] | None = None
    last: bool = False

    def noted(self, remark: Remark) -> Draft[P]:
        """Return the draft with one more remark."""
        return replace(self, remarks=(*self.remarks, remark))

    def is_content(self, digest: str) -> bool:
        """Return whether ``digest``, noted when the object was sealed, stands for this content."""
        if digest == self.digest:
            return True
        if not digest or digest.startswith(DIGEST_FORM) or self.earlier is None:
            return False
        return digest == self.earlier()


class Placed(NamedTuple):
    """An object at the destination: its id and its artifact root (a URI, or nothing).

    ``whole`` says that the create call carried everything that it carries as a rule; else `Kind.fill` must look what
    is missing.
    """

    id: DestinationId
    location: str = ""
    whole: bool = True


class Filled(NamedTuple):
    """What filling an object brought: bytes of artifacts, remarks, and what of the object stays behind."""

    bytes: int = 0
    remarks: tuple[Remark, ...] = ()
    left: tuple[LeftBehind, ...] = ()


class Recovered(NamedTuple):
    """An object of this migration, recognised at the destination by its marker.

    ``digest`` is empty where it must be written again; ``complete`` says whether it looks finished from outside,
    ``removable`` whether `Kind.discard` could take it away.
    """

    src_id: SourceId
    name: str
    dst_id: DestinationId
    location: str
    digest: str
    complete: bool = True
    removable: bool = True


class Remnant(NamedTuple):
    """Something at the destination that a migration made on the way, and that nothing needs any more."""

    dst_id: DestinationId
    name: str
    detail: str


class Estimate(NamedTuple):
    """What moving objects would take: requests at either end, and bytes of artifacts; and what would stay behind."""

    src_requests: float = 0.0
    dst_requests: float = 0.0
    files: int = 0
    bytes: int = 0
    left: tuple[LeftBehind, ...] = ()

    def plus(self, other: Estimate) -> Estimate:
        """Return the sum of two estimates."""
        return Estimate(
            self.src_requests + other.src_requests,
            self.dst_requests + other.dst_requests,
            self.files + other.files,
            self.bytes + other.bytes,
            self.left + other.left,
        )


class Kind(ABC, Generic[V, P]):
    """One kind of MLflow object, between two ends: ``V`` is what the source holds, ``P`` its translation.

    The engine calls, for each object: `create` (once, its intent being durable), `fill` (repeatable) and `seal`
    (repeatable, last). A call raises `bulkexim.errors.ObjectError` when this object cannot be moved.
    """

    #: MLflow's word for the kind, as it stands in ledger, logs and reports.
    name: ClassVar[str]
    #: Objects that are read together and moved at once.
    window: ClassVar[int] = 100
    #: Objects of this kind hold others and are sealed when those are there.
    container: ClassVar[bool] = False
    #: Objects of this kind have their name for an id at the destination, so it holds none of them twice.
    named: ClassVar[bool] = False
    #: The state to which a pass brings its objects; a later pass goes on from there.
    until: ClassVar[State] = State.SEALED

    #: Fields of every object that MLflow's API cannot set; they are kept as tags.
    kept: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def pages(self) -> AsyncIterator[Sequence[V]]:
        """Yield the selected objects of the source, in an order in which they can be moved."""

    def made_from(self, value: V) -> MadeFrom:
        """Return what the tags of an object of the source say of the one from which a migration made it."""
        del value
        return MadeFrom()

    def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[V]]:
        """Yield objects once more, those of a lane in their order; what is not at the source any more is left out.

        Needed where objects wait for others of the kind, have a lane, or are sealed last.
        """
        raise NotImplementedError(f"{len(ids)} objects of kind {self.name}")

    @abstractmethod
    async def drafts(self, values: Sequence[V], *, final: bool) -> Sequence[Draft[P]]:
        """Translate objects; when ``final``, a reference that is still open will never be closed."""

    @abstractmethod
    async def find(self, draft: Draft[P], mark: str) -> Placed | None:
        """Look at the destination for the object with the marker ``mark``."""

    @abstractmethod
    async def create(self, draft: Draft[P], mark: str) -> Placed:
        """Create the object with its marker, or adopt one of that name where names are unique.

        The call is made with `bulkexim.ends.server.Server.create`, which waits for the reply even when the run is
        stopped. Where a second call would create a second object, nothing is awaited after it: a run that is stopped
        ends at the next thing that is awaited, and then counts the object as not created.

        :raises Unsure: the call may have been carried out
        """

    @abstractmethod
    async def fill(self, draft: Draft[P], row: Row, details: Any, *, fresh: bool) -> Filled:
        """Write everything that `create` does not; ``fresh`` says that nothing but `create` was ever called."""

    @abstractmethod
    async def seal(self, draft: Draft[P], row: Row) -> None:
        """Write what makes the object complete; ``row.written`` says what was written the last time."""

    @abstractmethod
    def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        """Yield objects that an earlier run brought to the destination, recognised by their markers."""

    async def remnants(self) -> AsyncIterator[Sequence[Remnant]]:
        """Yield what helped to make objects of this kind and was left behind; by default nothing is ever needed."""
        nothing: tuple[Sequence[Remnant], ...] = ()
        for page in nothing:
            yield page

    async def discard(self, dst_id: DestinationId) -> None:
        """Take away an object that a migration made without need, and its marker with it.

        :raises ObjectError: it cannot be taken away
        """
        raise ObjectError("not removable", f"A {self.name} cannot be removed by itself ({dst_id}).", "Look at it.")

    @abstractmethod
    async def estimate(self, drafts: Sequence[Draft[P]]) -> Estimate:
        """Say what moving these objects would take; reads what it must, writes nothing."""

    async def foreseen(self, drafts: Sequence[Draft[P]]) -> Mapping[SourceId, ObjectError]:
        """Return why some of these objects, none of which was created yet, could not be; writes nothing."""
        del drafts
        return {}

    async def details(self, drafts: Sequence[Draft[P]]) -> Any:
        """Read, for a window of objects together, what `fill` needs; nothing by default."""

    async def total(self) -> int | None:
        """Return how many objects `pages` will yield, where that is cheap to know."""
        return None
