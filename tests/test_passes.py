"""A pass over many objects: the order within a lane, what a failure stops, and what waits for what."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import pytest

from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Events, Finished, Found, Outcome, PhaseEnded, PhaseSized, PhaseStarted
from bulkexim.engine.moving import Pass
from bulkexim.errors import FatalError, Lost, Refused, TemporaryTrouble
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft, Filled
from bulkexim.kinds.scope import Pair
from bulkexim.ledger.schema import Row, State
from tests.fake_kind import Containers, Heard, Thing, Things, moved, pair
from tests.virtual_clock import VirtualClock, settle

pytestmark = pytest.mark.anyio

SEEDS = range(5)


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as ends:
        yield ends


@pytest.mark.parametrize("seed", SEEDS)
async def test_sixty_four_objects_arrive_once_each_and_in_the_order_of_their_lanes(ends: Pair, seed: int) -> None:
    chance = random.Random(seed)
    things = [Thing(f"{number:02}", lane=chance.choice(["a", "b", "c", None])) for number in range(64)]
    kind = Things(things, page=7, chance=chance)
    kind.window = 5  # type: ignore[misc]  # many small windows for few objects
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 64}
    assert len(kind.destination.marks) == 64
    lane_of = {thing.id: thing.lane for thing in things}
    for lane in ("a", "b", "c"):
        in_lane = [src_id for src_id in lane_of if lane_of[src_id] == lane]
        steps = [f"{method} {src_id}" for src_id in in_lane for method in ("create", "fill", "seal")]
        assert [call for call in kind.calls if lane_of[call[-2:]] == lane] == steps


async def test_the_number_of_objects_is_told_when_they_are_listed_not_when_they_are_moved(ends: Pair) -> None:
    kind = Things([Thing(str(number)) for number in range(10)], page=4)
    kind.window = 2  # type: ignore[misc]  # nine windows beside each other would be all of them
    heard = await moved(ends, kind)
    sized = next(place for place, event in enumerate(heard.events) if event == PhaseSized("thing", 10))
    finished = [place for place, event in enumerate(heard.events) if isinstance(event, Finished)]
    assert sized < finished[-1]


async def test_a_second_pass_touches_nothing(ends: Pair) -> None:
    kind = Things([Thing(str(number)) for number in range(10)])
    await moved(ends, kind)
    kind.calls.clear()
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 10}
    assert kind.calls == []


async def test_a_changed_object_is_filled_again_and_not_created(ends: Pair) -> None:
    kind = Things([Thing("1"), Thing("2")])
    await moved(ends, kind)
    kind.calls.clear()
    kind.things[1] = Thing("2", content="changed")
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 1, Outcome.MOVED: 1}
    assert kind.calls == ["fill 2", "seal 2"]


async def test_a_failed_object_stops_only_those_behind_it_in_its_lane(ends: Pair) -> None:
    kind = Things([Thing(f"{lane}{number}", lane=lane) for number in range(4) for lane in "ab"] + [Thing("free")])
    kind.refuse("a1")
    heard = await moved(ends, kind)
    failed = {src_id: event.cause for src_id, event in heard.finished.items() if event.outcome is Outcome.FAILED}
    assert failed == {"a1": "HTTP 413", "a2": "an earlier one failed", "a3": "an earlier one failed"}
    assert heard.outcomes == {Outcome.MOVED: 6, Outcome.FAILED: 3}
    assert "A1" in heard.finished["a3"].error
    assert not {"create a2", "create a3"} & set(kind.calls)
    assert [failure.src_id for failure in ends.ledger.failures()] == ["a1", "a2", "a3"]


async def test_the_same_command_moves_what_failed_and_nothing_else(ends: Pair) -> None:
    kind = Things([Thing(str(number), lane="a") for number in range(4)])
    kind.refuse("1")
    await moved(ends, kind)
    kind.fates.clear()
    kind.calls.clear()
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 1, Outcome.MOVED: 3}
    assert [call for call in kind.calls if call.startswith("create")] == ["create 1", "create 2", "create 3"]
    assert list(ends.ledger.failures()) == []


async def test_an_object_whose_fill_fails_stops_its_lane_as_well(ends: Pair) -> None:
    kind = Things([Thing("1", lane="a"), Thing("2", lane="a")])
    kind.raises["fill 1"] = Lost("the connection broke")
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.FAILED: 2}
    assert heard.finished["1"].temporary
    assert "create 2" not in kind.calls


async def test_an_object_comes_again_when_what_it_waits_for_has_come(ends: Pair) -> None:
    kind = Things([Thing("child", after="parent"), Thing("parent")])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 2}
    assert kind.destination.sealed == ["parent", "child"]
    assert kind.calls.count("create child") == 1


async def test_a_chain_of_waiting_objects_comes_link_by_link(ends: Pair) -> None:
    chain = [Thing(str(number), after=str(number + 1)) for number in range(6)]
    kind = Things([*chain, Thing("6")])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 7}
    assert kind.destination.sealed == list("6543210")


async def test_an_object_that_waits_for_what_never_comes_is_moved_in_the_end(ends: Pair) -> None:
    kind = Things([Thing("orphan", after="nobody"), Thing("a", after="b"), Thing("b", after="a"), Thing("fine")])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 4}
    assert sorted(kind.destination.sealed) == ["a", "b", "fine", "orphan"]


async def test_a_waiting_object_of_a_lane_holds_back_those_behind_it_uncreated(ends: Pair) -> None:
    kind = Things([Thing("1", lane="a", after="later"), Thing("2", lane="a"), Thing("later")])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 3}
    assert [call for call in kind.calls if call.startswith("create")] == ["create later", "create 1", "create 2"]


async def test_an_object_whose_parent_failed_is_moved_without_it(ends: Pair) -> None:
    kind = Things([Thing("child", after="parent"), Thing("parent")])
    kind.refuse("parent")
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 1, Outcome.FAILED: 1}
    assert heard.finished["parent"].cause == "HTTP 413"


@pytest.mark.parametrize("seed", SEEDS)
async def test_everything_that_is_found_is_accounted_for(ends: Pair, seed: int) -> None:
    chance = random.Random(seed)
    ids = [str(number) for number in range(60)]
    things = [
        Thing(one, lane=chance.choice(["a", "b", None]), after=chance.choice([*ids, None, None, None])) for one in ids
    ]
    kind = Things(things, page=9, chance=chance)
    kind.window = 4  # type: ignore[misc]  # many small windows for few objects
    kind.refuse(*chance.sample(ids, 5))
    kind.lose_looks(*chance.sample(ids, 5))
    kind.raises |= {f"seal {one}": Refused("No.", status=400) for one in chance.sample(ids, 3)}
    heard = await moved(ends, kind)
    assert sum(event.objects for event in heard.events if isinstance(event, Found)) == 60
    assert sum(heard.outcomes.values()) == len(heard.finished) == 60
    assert len(kind.destination.marks) == len(set(kind.destination.marks.values()))


@pytest.mark.parametrize("error", [FatalError("The login was refused."), TemporaryTrouble("It is away.")])
async def test_an_error_that_ends_the_run_is_raised_itself(ends: Pair, error: Exception) -> None:
    kind = Things([Thing(str(number)) for number in range(40)], page=4)
    kind.window = 4  # type: ignore[misc]  # many small windows for few objects
    kind.raises["create 9"] = error
    with anyio.fail_after(10.0), pytest.raises(type(error)) as raised:
        await moved(ends, kind)
    assert raised.value is error


async def test_an_error_between_two_pages_is_raised_itself(ends: Pair) -> None:
    class Unreadable(Things):
        async def drafts(self, values: Sequence[Thing], *, final: bool) -> Sequence[Draft[Thing]]:
            if values[0].id == "8":
                raise TemporaryTrouble("The source is away.")
            return await super().drafts(values, final=final)

    kind = Unreadable([Thing(str(number)) for number in range(40)], page=4)
    with anyio.fail_after(10.0), pytest.raises(TemporaryTrouble, match="The source is away"):
        await moved(ends, kind)


async def test_a_run_that_is_stopped_while_it_waits_for_room_ends_cleanly(ends: Pair) -> None:
    begun = anyio.Event()

    class Stuck(Things):
        async def fill(self, draft: Draft[Thing], row: Row, details: object, *, fresh: bool) -> Filled:
            if draft.id == "11":
                begun.set()
            await anyio.sleep_forever()
            raise AssertionError("never")

    kind = Stuck([Thing(str(number)) for number in range(40)], page=4)
    kind.window = 4  # type: ignore[misc]  # many small windows for few objects
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(moved, ends, kind)
            await begun.wait()
            await settle()
            scope.cancel()
    assert scope.cancelled_caught
    assert (await ends.ledger.rows("thing", [SourceId("11")]))[SourceId("11")].state is State.CREATED


async def test_a_container_is_sealed_and_counted_when_its_content_is_there(ends: Pair) -> None:
    kind = Containers([Thing("1"), Thing("2")])
    heard = await closed(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 2}
    assert sorted(kind.destination.sealed) == ["1", "2"]
    assert (await closed(ends, kind)).outcomes == {Outcome.ALREADY: 2}


async def test_a_container_that_failed_once_is_completed_by_the_next_run(ends: Pair) -> None:
    kind = Containers([Thing("1"), Thing("2")])
    kind.raises["fill 1"] = Lost("the connection broke")
    assert (await closed(ends, kind)).outcomes == {Outcome.MOVED: 1, Outcome.FAILED: 1}
    kind.raises = {"seal 1": Lost("the connection broke")}
    assert (await closed(ends, kind)).outcomes == {Outcome.ALREADY: 1, Outcome.FAILED: 1}
    kind.raises = {}
    assert (await closed(ends, kind)).outcomes == {Outcome.ALREADY: 1, Outcome.MOVED: 1}
    assert list(ends.ledger.failures()) == []


async def closed(ends: Pair, kind: Things) -> Heard:
    """Run one pass over containers and close it."""
    heard = Heard()
    events = Events(heard)
    moving = Pass(kind, ends, events, Apply(ends, events, VirtualClock().skip))
    await moving.run()
    await moving.close()
    return heard


async def test_a_phase_begins_and_ends_once(ends: Pair) -> None:
    heard = await moved(ends, Things([Thing("1", after="2"), Thing("2")]))
    assert [type(event) for event in heard.events if isinstance(event, PhaseStarted | PhaseEnded)] == [
        PhaseStarted,
        PhaseEnded,
    ]


async def test_what_is_sealed_last_is_sealed_when_the_pass_is_closed_and_told_once(ends: Pair) -> None:
    kind = Things([Thing("first"), Thing("last", last=True)])
    heard = Heard()
    events = Events(heard)
    one = Pass(kind, ends, events, Apply(ends, events, VirtualClock().skip))
    await one.run()
    assert (kind.destination.sealed, heard.outcomes) == (["first"], {Outcome.MOVED: 1})
    await one.close()
    assert (kind.destination.sealed, heard.outcomes) == (["first", "last"], {Outcome.MOVED: 2})
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 2}


async def test_what_is_sealed_last_goes_on_after_a_stop_before_the_pass_was_closed(ends: Pair) -> None:
    kind = Things([Thing("last", last=True)])
    await moved(ends, kind)
    assert kind.destination.sealed == []
    one = Pass(kind, ends, Events(), Apply(ends, Events(), VirtualClock().skip))
    await one.run()
    await one.close()
    assert (kind.destination.sealed, len(kind.destination.marks)) == (["last"], 1)


async def test_what_is_gone_at_the_source_before_it_is_sealed_last_has_failed(ends: Pair) -> None:
    kind, heard = Things([Thing("last", last=True)]), Heard()
    one = Pass(kind, ends, Events(heard), Apply(ends, Events(heard), VirtualClock().skip))
    await one.run()
    kind.things.clear()
    await one.close()
    assert (heard.finished["last"].outcome, heard.finished["last"].cause) == (Outcome.FAILED, "gone at the source")
