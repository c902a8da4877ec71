"""How many requests a server gets: the limiter on a clock that the test moves."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import TaskGroup

from bulkexim.http.limiter import CEILING, SHRINK_PAUSE, START, Limiter
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.anyio


class Callers:
    """Tasks that want a slot each, hold it until they are told, and note when they got it."""

    def __init__(self, tasks: TaskGroup, limiter: Limiter, clock: VirtualClock) -> None:
        self._tasks = tasks
        self._limiter = limiter
        self._clock = clock
        self._leave = anyio.Event()
        self._inside = 0
        self.began: list[float] = []
        self.most = 0

    def come(self, number: int) -> None:
        """Send callers."""
        for _ in range(number):
            self._tasks.start_soon(self._call)

    def leave(self) -> None:
        """Let everybody inside go, and those who come from now on."""
        self._leave.set()

    async def _call(self) -> None:
        async with self._limiter.slot():
            self.began.append(self._clock())
            self._inside += 1
            self.most = max(self.most, self._inside)
            await self._leave.wait()
            self._inside -= 1


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def limiter(clock: VirtualClock, *, ceiling: int | None = None, rps: float | None = None) -> Limiter:
    return Limiter(ceiling, rps, clock, clock.sleep)


def grown(limiter: Limiter) -> Limiter:
    """Return a limiter after so many replies that it cannot be wider."""
    for _ in range(1000):
        limiter.succeeded()
    return limiter


async def test_no_more_requests_are_on_their_way_than_the_width_says(clock: VirtualClock) -> None:
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limiter(clock), clock)
        callers.come(3 * START)
        await clock.advance()
        assert len(callers.began) == START
        callers.leave()
    assert (len(callers.began), callers.most) == (3 * START, START)


def test_a_window_of_replies_widens_by_one(clock: VirtualClock) -> None:
    limit = limiter(clock)
    for _ in range(START + 1):
        limit.succeeded()
    assert limit.width == START + 1


@pytest.mark.parametrize(("ceiling", "widest"), [(None, CEILING), (3, 3), (1, 1), (START + 1, START + 1)])
def test_the_width_never_passes_the_ceiling(clock: VirtualClock, ceiling: int | None, widest: int) -> None:
    limit = limiter(clock, ceiling=ceiling)
    assert limit.width == min(START, widest)
    assert grown(limit).width == widest


def test_a_push_back_takes_a_third_and_pushes_within_a_second_count_once(clock: VirtualClock) -> None:
    limit = grown(limiter(clock, ceiling=12))
    for _ in range(12):
        limit.pushed_back()
        clock.now += SHRINK_PAUSE / 20
    assert limit.width == 8
    clock.now += SHRINK_PAUSE
    limit.pushed_back()
    assert limit.width == 5


def test_one_request_at_a_time_is_always_left(clock: VirtualClock) -> None:
    limit = limiter(clock)
    for _ in range(50):
        limit.pushed_back()
        clock.now += SHRINK_PAUSE
    assert limit.width == 1


async def test_a_narrower_width_lets_requests_end_and_begins_no_more(clock: VirtualClock) -> None:
    limit = grown(limiter(clock, ceiling=6))
    async with anyio.create_task_group() as tasks:
        first = Callers(tasks, limit, clock)
        first.come(6)
        await clock.advance()
        limit.pushed_back()
        assert limit.width == 4
        late = Callers(tasks, limit, clock)
        late.come(6)
        await clock.advance()
        assert late.began == []
        first.leave()
        await clock.advance()
        assert len(late.began) == 4
        late.leave()


async def test_a_width_that_grows_again_admits_no_more_than_it_says(clock: VirtualClock) -> None:
    limit = grown(limiter(clock, ceiling=6))
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limit, clock)
        callers.come(12)
        await clock.advance()
        limit.pushed_back()
        grown(limit)
        await clock.advance()
        assert len(callers.began) == 6
        callers.leave()
    assert callers.most == 6


async def test_retry_after_holds_every_caller(clock: VirtualClock) -> None:
    limit = limiter(clock)
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limit, clock)
        callers.leave()
        limit.pushed_back(retry_after=30.0)
        callers.come(START)
        await clock.advance(29.9)
        assert callers.began == []
        await clock.advance(0.1)
    assert callers.began == [1030.0] * START


async def test_a_later_retry_after_prolongs_and_a_shorter_one_does_not_shorten(clock: VirtualClock) -> None:
    limit = limiter(clock)
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limit, clock)
        callers.leave()
        limit.pushed_back(retry_after=10.0)
        callers.come(1)
        await clock.advance(5.0)
        limit.pushed_back(retry_after=20.0)
        limit.pushed_back(retry_after=1.0)
        await clock.advance(19.0)
        assert callers.began == []
        await clock.advance(1.0)
    assert callers.began == [1025.0]


async def test_retry_after_holds_callers_that_already_wait_for_their_turn(clock: VirtualClock) -> None:
    limit = limiter(clock, rps=1.0)
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limit, clock)
        callers.leave()
        callers.come(4)
        await clock.advance()
        limit.pushed_back(retry_after=60.0)
        await clock.advance(59.0)
        assert callers.began == [1000.0]
        await clock.advance(60.0)
    assert callers.began == [1000.0, 1060.0, 1061.0, 1062.0]


async def test_requests_are_spaced_by_the_rate(clock: VirtualClock) -> None:
    async with anyio.create_task_group() as tasks:
        callers = Callers(tasks, limiter(clock, rps=4.0), clock)
        callers.leave()
        callers.come(5)
        await clock.advance(1.0)
        # Nothing is saved up in a quiet time: the next ones are spaced as well.
        await clock.advance(100.0)
        callers.come(2)
        await clock.advance(0.25)
    assert callers.began == [1000.0, 1000.25, 1000.5, 1000.75, 1001.0, 1101.0, 1101.25]


async def test_a_cancelled_caller_gives_its_place_on(clock: VirtualClock) -> None:
    limit = limiter(clock, ceiling=1)
    async with anyio.create_task_group() as tasks:
        holding = Callers(tasks, limit, clock)
        holding.come(1)
        await clock.advance()
        async with anyio.create_task_group() as doomed:
            Callers(doomed, limit, clock).come(3)
            await clock.advance()
            doomed.cancel_scope.cancel()
        after = Callers(tasks, limit, clock)
        after.come(1)
        holding.leave()
        await clock.advance()
        assert len(after.began) == 1
        after.leave()


async def test_one_task_may_hold_two_places(clock: VirtualClock) -> None:
    limit = limiter(clock, ceiling=2)
    async with limit.slot(), limit.slot():
        assert limit.width == 2
