"""A kind of object whose destination is a dictionary that can be told to fail as a real one may."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar

import httpx
from anyio.lowlevel import checkpoint

from bulkexim.config import Settings
from bulkexim.ends.server import Server
from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Event, Events, Finished, Outcome
from bulkexim.engine.moving import Pass
from bulkexim.errors import Lost, Refused, Unsure
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.ids import DestinationId, SourceId
from bulkexim.kinds.base import Draft, Estimate, Filled, Kind, Placed, Recovered
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.opening import journal
from bulkexim.ledger.schema import Row
from tests.virtual_clock import VirtualClock


class Fate(Enum):
    """What becomes of one create call."""

    CARRIED_OUT = "carried out, and the reply arrives"
    REPLY_LOST = "carried out, but the reply gets lost"
    LOST = "lost on the way"
    LATE = "the reply gets lost, and the call is carried out after the first look for it"
    REFUSED = "declined by the server"


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Thing:
    """An object of the source. ``after`` is the id of another one that it refers to; one may be sealed ``last``."""

    id: str
    lane: str | None = None
    after: str | None = None
    content: str = "content"
    last: bool = False


@dataclass
class Destination:
    """What stands at the destination, by its id there: the marker of each object."""

    marks: dict[DestinationId, str] = field(default_factory=dict)
    filled: list[SourceId] = field(default_factory=list)
    sealed: list[SourceId] = field(default_factory=list)

    def add(self, mark: str) -> DestinationId:
        """Create an object, whether there is one with that marker or not."""
        new = DestinationId(f"new{len(self.marks)}")
        self.marks[new] = mark
        return new

    def with_mark(self, mark: str) -> list[DestinationId]:
        """Return the objects with a marker; more than one is what must never happen."""
        return [dst_id for dst_id, held in self.marks.items() if held == mark]


class Things(Kind[Thing, Thing]):
    """The fake. Calls take a random number of turns of the event loop where ``chance`` is given."""

    name: ClassVar[str] = "thing"

    def __init__(self, things: Sequence[Thing] = (), *, page: int = 1000, chance: random.Random | None = None) -> None:
        self.things = list(things)
        self.page = page
        self.destination = Destination()
        #: By source id: what becomes of the next create calls; then all are carried out.
        self.fates: dict[str, list[Fate]] = {}
        #: What the next calls raise, by "<method> <source id>".
        self.raises: dict[str, BaseException] = {}
        #: The calls that arrived: "<method> <source id>".
        self.calls: list[str] = []
        #: Ids of objects that were read a second time.
        self.read_again: list[SourceId] = []
        #: Ids of objects that were translated without what they wait for.
        self.finally_translated: set[str] = set()
        self.fresh: dict[str, bool] = {}
        self._late: dict[str, None] = {}
        self._chance = chance

    async def _arrived(self, method: str, draft: Draft[Thing]) -> None:
        call = f"{method} {draft.id}"
        self.calls.append(call)
        for _ in range(self._chance.randrange(12) if self._chance else 1):
            await checkpoint()
        if call in self.raises:
            raise self.raises[call]

    async def pages(self) -> AsyncIterator[Sequence[Thing]]:
        for start in range(0, len(self.things), self.page):
            await checkpoint()
            yield self.things[start : start + self.page]

    async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
        self.read_again += ids
        things = [thing for thing in self.things if thing.id in set(ids)]
        for start in range(0, len(things), self.page):
            await checkpoint()
            yield things[start : start + self.page]

    async def drafts(self, values: Sequence[Thing], *, final: bool) -> Sequence[Draft[Thing]]:
        sealed = self.destination.sealed
        if final:
            self.finally_translated |= {thing.id for thing in values if thing.after and thing.after not in sealed}
        return [
            Draft(
                id=SourceId(thing.id),
                name=thing.id.upper(),
                value=thing,
                # An object with its reference, and one that goes without it, are two things.
                digest=thing.content + (thing.after or "") * (not final or thing.after in sealed),
                lane=thing.lane,
                last=thing.last,
                waits=SourceId(thing.after) if thing.after and thing.after not in sealed and not final else None,
            )
            for thing in values
        ]

    async def find(self, draft: Draft[Thing], mark: str) -> Placed | None:
        await self._arrived("find", draft)
        found = self.destination.with_mark(mark)
        if mark in self._late:
            del self._late[mark]
            self.destination.add(mark)
        return Placed(found[0], "root") if found else None

    async def create(self, draft: Draft[Thing], mark: str) -> Placed:
        await self._arrived("create", draft)
        fates = self.fates.get(draft.id, [])
        match fates.pop(0) if fates else Fate.CARRIED_OUT:
            case Fate.CARRIED_OUT:
                return Placed(self.destination.add(mark), "root")
            case Fate.REPLY_LOST:
                self.destination.add(mark)
            case Fate.LATE:
                self._late[mark] = None
            case Fate.REFUSED:
                raise Refused("Too large.", status=413, cause="HTTP 413")
            case Fate.LOST:
                pass
        raise Unsure("The reply got lost.", cause="Lost")

    async def fill(self, draft: Draft[Thing], row: Row, details: Any, *, fresh: bool) -> Filled:
        await self._arrived("fill", draft)
        assert row.dst_id in self.destination.marks
        self.fresh[draft.id] = fresh
        self.destination.filled.append(draft.id)
        return Filled(bytes=len(draft.value.content))

    async def seal(self, draft: Draft[Thing], row: Row) -> None:
        await self._arrived("seal", draft)
        self.destination.sealed.append(draft.id)

    async def recover(self) -> AsyncIterator[Sequence[Recovered]]:
        await checkpoint()
        nothing: Sequence[Recovered] = ()
        yield nothing

    async def estimate(self, drafts: Sequence[Draft[Thing]]) -> Estimate:
        return Estimate()

    def refuse(self, *ids: str) -> None:
        """Decline to create these, whenever they come."""
        for src_id in ids:
            self.fates[src_id] = [Fate.REFUSED] * 10

    def lose_looks(self, *ids: str) -> None:
        """Let every look for these fail."""
        self.raises |= {f"find {src_id}": Lost("the connection broke") for src_id in ids}


class Containers(Things):
    """Things that hold others."""

    container: ClassVar[bool] = True


@asynccontextmanager
async def pair(work_dir: Path, settings: Settings | None = None) -> AsyncIterator[Pair]:
    """Open a real ledger between two servers that nobody calls."""
    source, destination = (_server(name) for name in ("source", "destination"))
    async with journal(work_dir) as ledger, source.client.http, destination.client.http:
        yield Pair(source, destination, ledger, settings or Settings())


def _server(name: str) -> Server:
    return Server(Client(name, httpx.AsyncClient(), Limiter()), f"http://{name}.example")


class Heard:
    """Remembers what became of each object, and counts it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Hear an event."""
        self.events.append(event)

    @property
    def finished(self) -> dict[str, Finished]:
        """The last word on each object."""
        return {event.id: event for event in self.events if isinstance(event, Finished)}

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many objects ended how; one that was told twice counts twice."""
        return dict(Counter(event.outcome for event in self.events if isinstance(event, Finished)))


async def moved(ends: Pair, kind: Things) -> Heard:
    """Run one pass to its end, as a process of its own."""
    heard = Heard()
    events = Events(heard)
    await Pass(kind, ends, events, Apply(ends, events, VirtualClock().skip)).run()
    return heard
