"""What is on its way at once: the order within a lane, and what a long lane may hold up or keep in memory."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import anyio
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.engine import lanes as lanes_module
from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Events, Outcome
from bulkexim.engine.lanes import Job, Room, lanes
from bulkexim.engine.moving import Pass
from bulkexim.http.limiter import CEILING
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft, Placed
from bulkexim.ledger.schema import Row
from tests.fake_kind import Heard, Thing, Things, pair
from tests.virtual_clock import VirtualClock, settle

pytestmark = pytest.mark.anyio

SEEDS = range(5)
#: Seconds after which nobody else comes.
PATIENCE = 30.0
#: More than any window of these tests holds.
LARGE = 1000


class Value:
    """Something that takes memory."""


def job(number: int, lane: str | None) -> Job:
    draft = Draft(SourceId(str(number)), "", Value(), "", lane=lane)
    return Job(draft, Row(kind="thing", src_id=draft.id), draft.value)


def jobs(*lane_names: str | None) -> list[Job]:
    """Return objects of these lanes, numbered in order."""
    return [job(number, lane) for number, lane in enumerate(lane_names)]


@dataclass
class Recorder:
    """Moves objects in a random number of turns of the event loop, once it may; and remembers what was where."""

    known: Sequence[Job] = ()
    chance: random.Random | None = None
    may: anyio.Event = field(default_factory=anyio.Event)
    windows: list[int] = field(default_factory=list)
    inside: Counter[str | None] = field(default_factory=Counter)
    done: dict[str | None, list[int]] = field(default_factory=dict)
    read_again: int = 0

    async def window(self, jobs: Sequence[Job]) -> None:
        self.windows.append(len(jobs))
        async with anyio.create_task_group() as tasks:
            for job in jobs:
                tasks.start_soon(self.one, job)
        self.windows.remove(len(jobs))

    async def one(self, job: Job) -> None:
        lane = job.draft.lane
        self.inside[lane] += 1
        await self.may.wait()
        for _ in range(self.chance.randrange(20) if self.chance else 1):
            await checkpoint()
        self.inside[lane] -= 1
        self.done.setdefault(lane, []).append(int(job.draft.id))

    async def again(self, lane: str, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Job]]:
        self.read_again += len(ids)
        for src_id in ids:
            await checkpoint()
            yield [self.known[int(src_id)]] if self.known else [job(int(src_id), lane)]

    @property
    def lanes(self) -> int:
        """Lanes of which an object is being moved."""
        return sum(1 for lane, objects in self.inside.items() if lane and objects)


@pytest.mark.parametrize("seed", SEEDS)
async def test_objects_of_a_lane_are_moved_one_after_the_other_also_those_that_are_read_again(seed: int) -> None:
    chance = random.Random(seed)
    everything = jobs(*(chance.choice(["a", "a", "a", "b", "c", None]) for _ in range(64)))

    class Watching(Recorder):
        async def one(self, job: Job) -> None:
            assert job.draft.lane is None or not self.inside[job.draft.lane]
            await super().one(job)

    mover = Watching(everything, chance)
    mover.may.set()
    async with lanes(mover, Room(windows=2, lanes=2, held=3, ids=5)) as open_lanes:
        for start in range(0, 64, 16):
            await open_lanes.submit(everything[start : start + 16], 4)
    in_order = {lane: [int(one.draft.id) for one in everything if one.draft.lane == lane] for lane in ("a", "b", "c")}
    assert {lane: mover.done[lane] for lane in in_order} == in_order
    assert sum(map(len, mover.done.values())) == 64
    assert mover.read_again > 0


async def test_no_more_windows_are_taken_than_memory_is_meant_for() -> None:
    mover = Recorder()
    async with anyio.create_task_group() as tasks, lanes(mover, Room(windows=3)) as open_lanes:
        tasks.start_soon(open_lanes.submit, jobs(*[None] * 20), 2)
        await settle()
        assert mover.windows == [2, 2, 2]
        mover.may.set()
    assert len(mover.done[None]) == 20


async def test_objects_without_a_lane_wait_for_no_lane() -> None:
    mover = Recorder()

    async with anyio.create_task_group() as tasks, lanes(mover, Room(lanes=1, held=1)) as open_lanes:
        tasks.start_soon(open_lanes.submit, jobs("a", None, "a", "b", None), LARGE)
        await settle()
        assert mover.windows == [2]
        assert mover.inside == {"a": 1, None: 2}
        mover.may.set()


async def test_a_long_lane_takes_no_room_from_the_others_and_little_memory() -> None:
    mover, values = Recorder(), WeakSet[Value]()
    most = 0

    async def feed() -> None:
        nonlocal most
        for first in range(0, 10_000, 100):
            page = jobs(*(f"lane {number // 1000}" for number in range(first, first + 100)))
            values.update(one.value for one in page)
            most = max(most, len(values))
            await open_lanes.submit(page, LARGE)

    async with anyio.create_task_group() as tasks, lanes(mover, Room(lanes=6, held=20)) as open_lanes:
        tasks.start_soon(feed)
        await settle()
        assert mover.lanes == 6
        mover.may.set()
    assert sum(map(len, mover.done.values())) == 10_000
    # The page that is handed over, and the one before it, whose last object a name may still hold.
    assert most <= 6 * 20 + 2 * 100
    assert mover.read_again > 9000


async def test_ids_of_lanes_are_bounded_too() -> None:
    mover, handed = Recorder(), 0

    async def feed() -> None:
        nonlocal handed
        for number in range(100):
            await open_lanes.submit([job(number, "a")], LARGE)
            handed += 1

    async with anyio.create_task_group() as tasks, lanes(mover, Room(held=5, ids=10)) as open_lanes:
        tasks.start_soon(feed)
        await settle()
        assert handed == 5 + 10
        mover.may.set()
    assert mover.done["a"] == list(range(100))


def test_there_is_more_room_where_a_server_takes_more_and_never_none() -> None:
    for at_once in (1, 2, 12, 64, 100_000):
        room = Room.for_requests(at_once)
        assert room.lanes > at_once
        assert room.held >= 1
        assert room.lanes * room.held <= max(lanes_module.HELD, room.lanes)


class Together(Things):
    """Creates wait until so many lanes have come to theirs, or all that have objects left."""

    def __init__(self, things: Sequence[Thing], least: int, page: int) -> None:
        super().__init__(things, page=page)
        self.least = least
        self.left = Counter(thing.lane for thing in things)
        self.in_flight: list[int] = []
        self._inside: set[str | None] = set()
        self._gate = anyio.Event()

    async def create(self, draft: Draft[Thing], mark: str) -> Placed:
        assert draft.lane not in self._inside
        self._inside.add(draft.lane)
        self.left[draft.lane] -= 1
        gate = self._gate
        others = {lane for lane, objects in self.left.items() if objects} - self._inside
        if len(self._inside) >= self.least or not others:
            self.in_flight.append(len(self._inside))
            gate.set()
            self._gate, self._inside = anyio.Event(), set()
        with anyio.fail_after(PATIENCE):  # nothing else ends a create
            await gate.wait()
        return await super().create(draft, mark)


@pytest.mark.parametrize(
    ("models", "versions"), [(20, 30), (60, 3), (1, 90), (14, 60)], ids=["long", "short", "one", "longer than a page"]
)
async def test_as_many_lanes_are_in_flight_as_the_destination_takes_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, models: int, versions: int
) -> None:
    monkeypatch.setattr(lanes_module, "HELD", 18 * 12)  # a dozen for each lane
    things = [
        Thing(f"{model:02}/{number:02}", f"model {model}") for model in range(models) for number in range(versions)
    ]
    async with pair(tmp_path) as ends:
        kind, heard = Together(things, CEILING, page=50), Heard()
        kind.window = 10  # type: ignore[misc]  # fewer than a lane is long
        events = Events(heard)
        await Pass(kind, ends, events, Apply(ends, events, VirtualClock().skip)).run()
    assert heard.outcomes == {Outcome.MOVED: models * versions}
    for model in range(models):
        created = [call for call in kind.calls if call.startswith(f"create {model:02}/")]
        assert created == [f"create {model:02}/{number:02}" for number in range(versions)]
    assert max(kind.in_flight) == min(CEILING, models)
    # What fits is read once.
    assert bool(kind.read_again) == (versions > 12)
