"""What waits for others of its kind: only ids are kept, and each object is read again once, when it can be moved."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from weakref import ReferenceType, ref

import pytest

from bulkexim.engine import lanes as lanes_module
from bulkexim.engine.events import Outcome
from bulkexim.errors import Lost
from bulkexim.ids import SourceId
from bulkexim.kinds.scope import Pair
from tests.fake_kind import Thing, Things, moved, pair

pytestmark = pytest.mark.anyio

CHILDREN = 300
HELD = 4


@pytest.fixture
async def ends(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path) as ends:
        yield ends


class Fresh(Things):
    """Objects are made for each listing, as those that a server sends.

    Each time that some are read again, ``held`` notes how many are still there from before.
    """

    def __init__(self, things: Sequence[Thing], page: int) -> None:
        super().__init__(things, page=page)
        self.held: list[int] = []
        self._made: list[ReferenceType[Thing]] = []

    async def pages(self) -> AsyncIterator[Sequence[Thing]]:
        async for page in super().pages():
            yield self._anew(page)

    async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
        gc.collect()
        self.held.append(sum(one() is not None for one in self._made))
        async for page in super().again(ids):
            yield self._anew(page)

    def _anew(self, page: Sequence[Thing]) -> list[Thing]:
        new = [replace(thing) for thing in page]
        self._made += map(ref, new)
        return new


async def test_of_children_whose_parents_are_absent_only_ids_are_kept(ends: Pair) -> None:
    kind = Fresh([Thing(f"child {number}", after=f"parent {number}") for number in range(CHILDREN)], page=50)
    assert (await moved(ends, kind)).outcomes == {Outcome.MOVED: CHILDREN}
    # All of them were listed, and next to none is held when the first is read again.
    assert kind.held[0] <= 1
    assert len(kind.read_again) == len(set(kind.read_again)) == CHILDREN
    assert sum(call.startswith("create") for call in kind.calls) == CHILDREN


async def test_nothing_is_read_again_where_nothing_waits(ends: Pair) -> None:
    kind = Things([Thing("parent")], page=1)
    await moved(ends, kind)
    kind.things += [Thing(f"child {number}", after="parent") for number in range(20)]
    assert (await moved(ends, kind)).outcomes == {Outcome.MOVED: 20, Outcome.ALREADY: 1}
    kind.things[5] = replace(kind.things[5], content="changed")
    assert (await moved(ends, kind)).outcomes == {Outcome.MOVED: 1, Outcome.ALREADY: 20}
    assert kind.read_again == []


async def test_what_waits_for_one_that_waits_comes_after_it_with_its_reference(ends: Pair) -> None:
    kind = Things([Thing("a", after="b"), Thing("b", after="c"), Thing("c", after="nobody")], page=1)
    assert (await moved(ends, kind)).outcomes == {Outcome.MOVED: 3}
    assert kind.destination.sealed == ["c", "b", "a"]
    # Only that one goes without what it refers to which refers to nothing that comes.
    assert kind.finally_translated == {"c"}


async def test_a_second_run_does_not_read_again_what_stands_there_without_what_never_came(ends: Pair) -> None:
    kind = Things([Thing("orphan", after="nobody"), Thing("fine")])
    await moved(ends, kind)
    kind.read_again.clear()
    kind.calls.clear()
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 2}
    assert (kind.read_again, kind.calls) == ([], [])
    kind.things.append(Thing("nobody"))
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 1, Outcome.MOVED: 2}
    assert kind.read_again == ["orphan"]
    kind.things[0] = replace(kind.things[0], content="changed", after="nowhere")
    assert (await moved(ends, kind)).outcomes == {Outcome.ALREADY: 2, Outcome.MOVED: 1}


async def test_what_is_gone_when_its_turn_comes_is_told(ends: Pair) -> None:
    class Shrinking(Things):
        async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
            self.things = [thing for thing in self.things if thing.id != "gone"]
            async for page in super().again(ids):
                yield page

    kind = Shrinking([Thing("gone", after="nobody"), Thing("orphan", after="nobody"), Thing("fine")])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 2, Outcome.FAILED: 1}
    assert heard.finished["gone"].cause == "gone at the source"
    assert heard.finished["gone"].name == "GONE"


async def test_a_number_of_a_lane_that_is_gone_when_its_turn_comes_stops_nothing(
    ends: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "HELD", HELD)

    class Shrinking(Things):
        async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
            self.things = [thing for thing in self.things if thing.id != "7"]
            async for page in super().again(ids):
                yield page

    kind = Shrinking([Thing(str(number), lane="a") for number in range(10)])
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.MOVED: 9, Outcome.FAILED: 1}
    assert kind.destination.sealed == list("012345689")


async def test_a_lane_that_cannot_be_read_again_fails_alone(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "HELD", HELD)

    class Unreadable(Things):
        async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
            async for page in super().again(ids):
                yield page[:1]
                break
            if ids[0].startswith("a"):
                raise Lost("the source is away")
            yield page[1:]

    things = [Thing(f"{lane}{number}", lane=lane) for lane in "ab" for number in range(8)]
    heard = await moved(ends, Unreadable(things))
    failed = {src_id: event.error for src_id, event in heard.finished.items() if event.outcome is Outcome.FAILED}
    assert failed
    assert all(src_id.startswith("a") and "the source is away" in error for src_id, error in failed.items())
    assert len(heard.finished) == sum(heard.outcomes.values()) == 16
    again = await moved(ends, Things(things))
    assert again.outcomes == {Outcome.MOVED: len(failed), Outcome.ALREADY: 16 - len(failed)}


async def test_a_lane_that_stopped_is_not_read_again(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_module, "HELD", HELD)
    kind = Things([Thing(str(number), lane="a") for number in range(10)])
    kind.refuse("0")
    heard = await moved(ends, kind)
    assert heard.outcomes == {Outcome.FAILED: 10}
    assert list(heard.finished) == list("0123456789")
    assert kind.read_again == []


@pytest.mark.parametrize("lane", ["a", None])
async def test_what_a_shifted_page_shows_twice_is_moved_and_told_once(
    ends: Pair, monkeypatch: pytest.MonkeyPatch, lane: str | None
) -> None:
    monkeypatch.setattr(lanes_module, "HELD", HELD)

    class Shifting(Things):
        async def again(self, ids: Sequence[SourceId]) -> AsyncIterator[Sequence[Thing]]:
            before: Sequence[Thing] = ()
            async for page in super().again(ids):
                yield [*before, *page]
                before = page

    things = [Thing(str(number), lane=lane, after=None if lane else "nobody") for number in range(10)]
    kind = Shifting(things, page=2)
    assert (await moved(ends, kind)).outcomes == {Outcome.MOVED: 10}
    assert sorted(kind.destination.sealed) == sorted(thing.id for thing in things)
