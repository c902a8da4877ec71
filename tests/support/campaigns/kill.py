"""K1 and K2: the migrating process is killed, and the next run has to complete what it left."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from bulkexim.tasks import together
from tests.support.campaigns.children import Child, child
from tests.support.campaigns.ground import Ground, trial
from tests.support.faults import Fault, KillAt
from tests.support.faults.rules import KILLS

#: Seconds that a server may still work, when it is busy, on a call of a client that was killed.
SETTLE = 3.0


class Unfit(Exception):
    """Not even a migration that nothing disturbs is right, so a campaign would prove nothing."""


@dataclass(frozen=True)
class Kills:
    """What became of the trials of a campaign; whatever is listed is a fault of the migrator."""

    requests: int
    """Requests of a run that nothing disturbs."""
    trials: int
    kills: int
    unfinished: tuple[str, ...]
    """Trials of which a run that was not killed did not end with 0."""
    differences: tuple[str, ...]
    doubled: tuple[str, ...]
    swept: int
    """Objects that a sweep removed, as a run told its user to: creates that a killed process had sent came late."""
    redone: int
    """The most requests that a trial needed beyond those of a run that nothing disturbs."""
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether nothing was lost and nothing doubled."""
        return not (self.unfinished or self.differences or self.doubled)


@dataclass
class _Tally:
    kills: int = 0
    swept: int = 0
    redone: int = 0
    unfinished: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)


async def undisturbed(ground: Ground, at: Child, concurrency: int | None = None) -> int:
    """Migrates once and returns how many requests that takes."""
    # Nothing is hurried here: on a busy machine a create may take long, and would count as lost.
    patient = {"reply_seconds": 60.0, "settle_seconds": SETTLE}
    async with trial(ground, at, "quiet", concurrency=concurrency, **patient) as one:
        ended = await one.run()
        trouble = [ended.error] if ended.exit_code else await one.differences()
        if trouble:
            raise Unfit("\n".join(trouble))
        return len(one.faults.log)


async def kill_everywhere(
    ground: Ground,
    *,
    first: int = 1,
    step: int = 1,
    places: Sequence[Fault] = KILLS,
    lanes: int = 1,
    concurrency: int | None = None,
) -> Kills:
    """K1: kill at every ``step``-th request from ``first`` on, in each place, and resume once."""
    began = time.monotonic()
    tally = _Tally()
    async with child() as at:
        requests = await undisturbed(ground, at, concurrency)
    moments = [(number, place) for number in range(first, requests + 1, step) for place in places]
    waiting = iter(moments)

    async def work() -> None:
        async with child() as at:
            for number, place in waiting:
                await _kill_once(ground, at, KillAt(number, place), tally, requests, concurrency)

    async with together() as tasks:
        for _ in range(lanes):
            tasks.start_soon(work)
    return _kills(ground, tally, requests, len(moments), began)


async def _kill_once(
    ground: Ground, at: Child, rule: KillAt, tally: _Tally, requests: int, concurrency: int | None
) -> None:
    async with trial(ground, at, "killed", concurrency=concurrency) as one:
        ended = await one.run(rule)
        tally.kills += ended.killed
        sent = len(one.faults.log)
        which = _named(one.workspace, rule, one.faults.history())
        if ended.killed:
            ended = await one.run()
            tally.redone = max(tally.redone, sent + len(one.faults.log) - requests)
        if ended.exit_code:
            tally.unfinished.append(f"{which}: {ended.exit_code} {ended.error}")
        tally.differences += [f"{which}: {line}" for line in await one.differences()]


async def kill_in_chains(ground: Ground, *, seed: int, chains: int, length: int, requests: int | None = None) -> Kills:
    """K2: in each migration kill up to ``length`` times, at random requests and places, then let it end."""
    began = time.monotonic()
    tally = _Tally()
    chance = Random(seed)
    async with child() as at:
        needed = requests or await undisturbed(ground, at)
        for _ in range(chains):
            async with trial(ground, at, "chain", settle_seconds=SETTLE) as one:
                sent = 0
                for _ in range(length):
                    rule = KillAt(chance.randint(1, max(1, 2 * needed // length)), chance.choice(KILLS))
                    ended = await one.run(rule)
                    tally.kills += ended.killed
                    sent += len(one.faults.log)
                    if not ended.killed:
                        break
                ended = await one.run()
                tally.redone = max(tally.redone, sent + len(one.faults.log) - needed)
                if ended.in_excess:
                    tally.swept += (await one.run(sweep=True)).moved
                    ended = await one.run()
                if ended.exit_code:
                    tally.unfinished.append(f"seed {seed} {one.workspace}: {ended.exit_code} {ended.error}")
                tally.differences += [f"seed {seed} {one.workspace}: {line}" for line in await one.differences()]
    return _kills(ground, tally, needed, chains, began)


def _named(workspace: str, rule: KillAt, history: str) -> str:
    return f"{workspace} {history or f'{rule.number} {rule.fault}, not reached'}"


def _kills(ground: Ground, tally: _Tally, requests: int, trials: int, began: float) -> Kills:
    return Kills(
        requests=requests,
        trials=trials,
        kills=tally.kills,
        swept=tally.swept,
        unfinished=tuple(tally.unfinished),
        differences=tuple(tally.differences),
        doubled=tuple(ground.doubled()),
        redone=tally.redone,
        seconds=round(time.monotonic() - began, 1),
    )
