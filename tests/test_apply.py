"""How one object comes to the destination: once, whatever happens to the call that creates it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.config import Settings
from bulkexim.engine.apply import CREATE_TRIES, FAULTS, Apply
from bulkexim.engine.events import Events, Stepped
from bulkexim.errors import FatalError, Lost, ObjectError, Refused, TemporaryTrouble, Unsure
from bulkexim.ids import SourceId, marker
from bulkexim.kinds.base import Draft, Filled, Placed
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State
from tests.fake_kind import Containers, Crash, Fate, Heard, Thing, Things, pair
from tests.virtual_clock import VirtualClock, settle

pytestmark = pytest.mark.anyio

ONE, OTHER = SourceId("one"), SourceId("other")
SETTLING = 30.0


class Bench:
    """One object, the kind it is of, and the protocol that moves it."""

    def __init__(self, ends: Pair, kind: Things) -> None:
        self.ends = ends
        self.kind = kind
        self.heard = Heard()
        self.clock = VirtualClock()
        self.apply = Apply(ends, Events(self.heard), self.clock.skip)

    async def move(self, *, waits: bool = False, comes: bool = False, content: str = "content") -> Filled | None:
        """Move the object, from what the ledger knows of it; what it waits for may come meanwhile."""
        draft = Draft(ONE, "One", Thing("one"), content, src_location="src", waits=OTHER if waits else None)

        async def translate() -> Draft[Thing]:
            await checkpoint()
            return replace(draft, waits=OTHER if waits and not comes else None)

        await self.ends.ledger.planned("thing", {ONE: "One"})
        return await self.apply(self.kind, draft, await self.row(), self._read, translate)

    async def _read(self) -> None:
        await checkpoint()

    async def row(self) -> Row:
        """Return what the ledger knows."""
        return (await self.ends.ledger.rows("thing", [ONE]))[ONE]

    def restart(self) -> None:
        """Go on as a new process would: only the ledger and the destination are left."""
        self.kind.raises.clear()
        self.kind.calls.clear()
        self.apply = Apply(self.ends, Events(self.heard), self.clock.skip)

    @property
    def copies(self) -> int:
        """How often the object exists at the destination."""
        return len(self.kind.destination.with_mark(marker(self.ends.source.identity, "thing", "one")))


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with pair(tmp_path, Settings(settle_seconds=SETTLING)) as ends:
        yield Bench(ends, Things())


async def test_every_step_is_told_and_durable_in_order(bench: Bench) -> None:
    filled = await bench.move()
    assert filled == Filled(bytes=len("content"))
    steps = [event.state for event in bench.heard.events if isinstance(event, Stepped)]
    assert steps == [State.INTENT, State.CREATED, State.FILLED, State.SEALED]
    assert bench.kind.calls == ["create one", "fill one", "seal one"]
    row = await bench.row()
    assert (row.state, row.digest, row.attempts, row.dst_location) == (State.SEALED, "content", 1, "root")


async def test_each_state_is_durable_before_the_next_call_leaves(tmp_path: Path) -> None:
    seen: list[State] = []

    class Watching(Things):
        async def _arrived(self, method: str, draft: Draft[Thing]) -> None:
            seen.append((await watched.row()).state)
            await super()._arrived(method, draft)

    async with pair(tmp_path) as ends:
        watched = Bench(ends, Watching())
        await watched.move()
    assert seen == [State.INTENT, State.CREATED, State.FILLED]


@pytest.mark.parametrize("fate", [Fate.REPLY_LOST, Fate.LATE], ids=lambda fate: fate.name)
async def test_an_object_whose_reply_got_lost_is_found_and_not_created_again(bench: Bench, fate: Fate) -> None:
    bench.kind.fates["one"] = [fate]
    await bench.move()
    assert bench.copies == 1
    assert bench.kind.calls.count("create one") == 1
    assert (await bench.row()).state is State.SEALED


async def test_an_object_that_was_found_is_not_taken_for_untouched(bench: Bench) -> None:
    bench.kind.fates["one"] = [Fate.REPLY_LOST]
    await bench.move()
    assert bench.kind.fresh == {"one": False}


async def test_an_object_that_was_just_created_is_known_to_be_untouched_only_until_it_is_filled(bench: Bench) -> None:
    await bench.move(waits=True)
    await bench.move()
    assert bench.kind.fresh == {"one": True}
    await bench.move(content="changed")
    assert bench.kind.fresh == {"one": False}


async def test_only_so_many_that_were_created_are_known_to_be_untouched(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs that logged models came from are created long before they are filled, and any number of them."""
    monkeypatch.setattr("bulkexim.engine.apply.BORN", 1)
    bench.apply.born["thing", OTHER] = None
    await bench.move(waits=True)
    assert list(bench.apply.born) == [("thing", ONE)]


async def test_a_create_that_is_absent_twice_is_made_again_exactly_once(bench: Bench) -> None:
    bench.kind.fates["one"] = [Fate.LOST]
    await bench.move()
    assert bench.kind.calls[:4] == ["create one", "find one", "find one", "create one"]
    assert bench.copies == 1
    assert bench.clock.slept == [pytest.approx(SETTLING, abs=5.0)]
    assert (await bench.row()).attempts == 2


async def test_a_create_that_always_gets_lost_is_given_up_as_unsure(bench: Bench) -> None:
    bench.kind.fates["one"] = [Fate.LOST] * CREATE_TRIES
    with pytest.raises(Unsure):
        await bench.move()
    assert bench.kind.calls.count("create one") == CREATE_TRIES
    assert (await bench.row()).state is State.INTENT


async def test_a_server_that_fails_on_every_create_is_taken_at_its_word(bench: Bench) -> None:
    bench.kind.raises["create one"] = Unsure("INTERNAL_ERROR: no such column (HTTP 500)", status=500)
    with pytest.raises(Refused, match="no such column") as raised:
        await bench.move()
    assert not raised.value.temporary
    assert bench.kind.calls.count("create one") == FAULTS
    assert (await bench.row()).state is State.PLANNED
    bench.restart()
    await bench.move()
    assert bench.copies == 1


async def test_nothing_is_created_as_long_as_the_destination_cannot_be_asked(bench: Bench) -> None:
    bench.kind.fates["one"] = [Fate.LOST]
    bench.kind.lose_looks("one")
    for _ in range(3):
        with pytest.raises(Unsure, match="not known whether"):
            await bench.move()
        assert (await bench.row()).state is State.INTENT
    assert bench.kind.calls.count("create one") == 1
    bench.restart()
    await bench.move()
    assert bench.copies == 1


@pytest.mark.parametrize("refusal", [Refused("No.", status=400), ObjectError("name taken", "The name is taken.")])
async def test_a_definite_refusal_leaves_the_object_planned(bench: Bench, refusal: ObjectError) -> None:
    bench.kind.raises["create one"] = refusal
    with pytest.raises(type(refusal)):
        await bench.move()
    assert (await bench.row()).state is State.PLANNED
    bench.restart()
    await bench.move()
    assert bench.kind.calls == ["create one", "fill one", "seal one"]


@pytest.mark.parametrize(
    "error", [Lost("gone"), FatalError("The login was refused."), TemporaryTrouble("It is away."), Crash()]
)
@pytest.mark.parametrize("arrived", [True, False])
async def test_what_ends_between_intent_and_reply_is_settled_by_the_next_process(
    bench: Bench, error: BaseException, arrived: bool
) -> None:
    bench.kind.raises["create one"] = error
    with pytest.raises(type(error)):
        await bench.move()
    assert (await bench.row()).state is State.INTENT
    if arrived:
        bench.kind.destination.add(marker(bench.ends.source.identity, "thing", "one"))
    bench.restart()
    await bench.move()
    assert bench.copies == 1
    assert bench.kind.calls[0] == "find one"
    assert bench.kind.calls.count("create one") == (0 if arrived else 1)
    assert (await bench.row()).state is State.SEALED


async def test_a_process_that_dies_before_the_reply_is_written_down_creates_nothing_twice(bench: Bench) -> None:
    await bench.ends.ledger.planned("thing", {ONE: "One"})
    await bench.ends.ledger.intent("thing", ONE, "src")
    bench.kind.destination.add(marker(bench.ends.source.identity, "thing", "one"))
    await bench.move()
    assert bench.kind.calls == ["find one", "fill one", "seal one"]
    assert bench.copies == 1


@pytest.mark.parametrize("method", ["fill", "seal"])
async def test_what_ends_after_the_create_goes_on_without_another_one(bench: Bench, method: str) -> None:
    bench.kind.raises[f"{method} one"] = Crash()
    with pytest.raises(Crash):
        await bench.move()
    bench.restart()
    await bench.move()
    assert bench.kind.calls == ["fill one", "seal one"]
    assert bench.kind.fresh == {"one": False}
    assert bench.copies == 1


async def test_a_sealed_object_that_changes_is_unsealed_first(bench: Bench) -> None:
    await bench.move()
    bench.kind.raises["fill one"] = Crash()
    with pytest.raises(Crash):
        await bench.move(content="changed")
    assert (await bench.row()).state is State.CREATED
    bench.restart()
    await bench.move(content="changed")
    row = await bench.row()
    assert (row.state, row.digest, bench.copies) == (State.SEALED, "changed", 1)


async def test_an_object_that_waits_is_created_and_not_filled(bench: Bench) -> None:
    assert await bench.move(waits=True) is None
    assert (await bench.row()).state is State.CREATED
    assert bench.kind.calls == ["create one"]


async def test_an_object_goes_on_when_what_it_waits_for_came_while_it_was_created(bench: Bench) -> None:
    assert await bench.move(waits=True, comes=True) is not None
    assert bench.kind.calls == ["create one", "fill one", "seal one"]


async def test_a_container_is_filled_and_sealed_later(tmp_path: Path) -> None:
    async with pair(tmp_path) as ends:
        bench = Bench(ends, Containers())
        await bench.move()
        assert bench.kind.calls == ["create one", "fill one"]
        assert (await bench.row()).state is State.FILLED


async def test_a_create_in_flight_is_written_down_when_the_run_is_stopped(tmp_path: Path) -> None:
    class Slow(Things):
        async def create(self, draft: Draft[Thing], mark: str) -> Placed:
            # As the client waits for a request that has left.
            under_way.set()
            with anyio.CancelScope(shield=True):
                await replied.wait()
            return Placed(self.destination.add(mark), "root")

    under_way, replied = anyio.Event(), anyio.Event()
    async with pair(tmp_path) as ends:
        bench = Bench(ends, Slow())
        await _stopped(bench, under_way, replied)
        row = await bench.row()
    assert (row.state, row.dst_id, bench.kind.calls) == (State.CREATED, "new0", [])


async def test_a_create_that_pauses_between_two_tries_ends_when_the_run_is_stopped(tmp_path: Path) -> None:
    class Patient(Things):
        async def create(self, draft: Draft[Thing], mark: str) -> Placed:
            pausing.set()
            await again.wait()
            return await super().create(draft, mark)

    pausing, again = anyio.Event(), anyio.Event()
    async with pair(tmp_path) as ends:
        bench = Bench(ends, Patient())
        await _stopped(bench, pausing, again)
        assert (await bench.row()).state is State.PLANNED
        bench.restart()
        bench.kind.create = Things.create.__get__(bench.kind)  # type: ignore[method-assign]
        await bench.move()
        assert (bench.kind.calls[0], bench.copies) == ("create one", 1)


async def _stopped(bench: Bench, begun: anyio.Event, goes_on: anyio.Event) -> None:
    """Move the object, stop that when it has ``begun``, and only then let its create go on."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(bench.move)
            with anyio.CancelScope(shield=True):
                await begun.wait()
                scope.cancel()
                await settle()
                goes_on.set()
