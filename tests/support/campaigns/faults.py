"""F1 to F4: the network and the servers misbehave, and the migration arrives all the same."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio

from tests.support.campaigns.children import child
from tests.support.campaigns.ground import Ground, Trial, single, trial
from tests.support.campaigns.kill import undisturbed
from tests.support.faults import Admits, Asked, Fault, Mix

#: F1: 30 % of all requests, in percent of them.
MIXED = {
    Fault.BUSY_SECONDS: 3,
    Fault.BUSY_DATE: 2,
    Fault.ERROR_500: 2,
    Fault.ERROR_502: 2,
    Fault.ERROR_503: 2,
    Fault.ERROR_504: 2,
    Fault.RESET_BEFORE: 4,
    Fault.RESET_AFTER: 5,
    Fault.SILENT: 1,
    Fault.CUT: 2,
    Fault.PAGE: 1,
    Fault.TOKEN: 1,
    Fault.DRIP: 3,
}
#: F2: requests that are carried out when the client has long given up.
LATE = {Fault.LATE: 4, Fault.SILENT: 1}
#: Runs of one migration after which it counts as never ending.
RUNS = 5


@dataclass(frozen=True)
class Survived:
    """What became of migrations under faults; whatever is listed is a fault of the migrator."""

    seeds: int
    quiet: int
    """Requests of a run that nothing disturbs."""
    worst_ratio: float
    """The most requests that a migration took, in all its runs, as a multiple of those."""
    runs: Mapping[int, tuple[int, ...]]
    """The exit codes of the runs of each seed."""
    swept: int
    """Objects that a sweep removed between two runs."""
    errors: tuple[str, ...]
    differences: tuple[str, ...]
    doubled: tuple[str, ...]
    faults: Mapping[str, int]
    seconds: float

    @property
    def clean(self) -> bool:
        """Whether every seed ended with 0, nothing lost and nothing doubled."""
        return not (self.differences or self.doubled) and all(codes[-1] == 0 for codes in self.runs.values())


@dataclass
class _Survey:
    runs: dict[int, tuple[int, ...]] = field(default_factory=dict)
    requests: list[int] = field(default_factory=list)
    swept: int = 0
    errors: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)


async def survive(
    ground: Ground,
    seeds: Sequence[int],
    percents: Mapping[Fault, float],
    *,
    label: str = "faults",
    late_by: int = 1,
    **settings: Any,
) -> Survived:
    """F1 and F2: migrate under a mix of faults, sweep where that is told to, again until it ends with 0, for each seed.

    Late requests arrive so many requests later: with 1 while the client still asks what became of them.
    """
    began = time.monotonic()
    survey = _Survey()
    settings = {"reply_seconds": 1.5, "settle_seconds": 0.5} | settings
    async with child() as at:
        quiet = await undisturbed(ground, at)
        for seed in seeds:
            async with trial(ground, at, label, **settings) as one:
                one.faults.retry_after, one.faults.late_by = 0.2, late_by
                await _until_it_ends(one, seed, percents, survey)
                survey.differences += [f"seed {seed}: {line}" for line in await one.differences()]
    return Survived(
        seeds=len(seeds),
        quiet=quiet,
        worst_ratio=round(max(survey.requests, default=0) / quiet, 2),
        runs=survey.runs,
        swept=survey.swept,
        errors=tuple(survey.errors),
        differences=tuple(survey.differences),
        doubled=tuple(ground.doubled()),
        faults=dict(survey.faults),
        seconds=round(time.monotonic() - began, 1),
    )


async def _until_it_ends(one: Trial, seed: int, percents: Mapping[Fault, float], survey: _Survey) -> None:
    codes: list[int] = []
    sent = 0
    while len(codes) < RUNS and codes[-1:] != [0]:
        ended = await one.run(Mix(seed * RUNS + len(codes), percents))
        await one.release()
        codes.append(ended.exit_code)
        sent += len(one.faults.log)
        survey.faults.update({str(fault): times for fault, times in one.faults.counts.items()})
        if ended.error:
            survey.errors.append(f"seed {seed}, run {len(codes)}: {ended.exit_code} {ended.error}")
        if ended.in_excess:
            # As the run tells its user to.
            survey.swept += (await one.run(sweep=True)).moved
    survey.requests.append(sent)
    survey.runs[seed] = tuple(codes)


@dataclass(frozen=True)
class Throttled:
    """How a migration fared at a server that admits so many requests a second."""

    rate: float
    settled: float
    """Requests a second that were admitted once the first part was over."""
    refused: float
    """The share of requests that were refused then."""
    ignored: int
    """Requests that came although every caller had been asked to wait."""
    exit_code: int
    differences: tuple[str, ...]
    seconds: float


#: A request that left before the refusal was read may come this many seconds after it.
ON_ITS_WAY = 0.1


async def throttle(ground: Ground, *, rate: float, skip: float) -> Throttled:
    """F3: migrate to a server that answers 429 above ``rate``; the first ``skip`` seconds do not count."""
    began = time.monotonic()
    async with single(ground, "throttled") as one:
        ended = await one.run(Admits(rate, "destination"))
        log = [entry for entry in one.faults.log if entry.asked.end == "destination"]
        counted = [entry for entry in log if entry.at >= log[0].at + skip]
        admitted = [entry for entry in counted if entry.fault is Fault.PASS]
        length = counted[-1].at - counted[0].at
        pauses = [entry.at for entry in log if entry.fault is Fault.BUSY_SECONDS]
        ignored = sum(any(at + ON_ITS_WAY < entry.at < at + one.faults.retry_after for at in pauses) for entry in log)
        return Throttled(
            rate=rate,
            settled=round(len(admitted) / length, 1),
            refused=round(1 - len(admitted) / len(counted), 3),
            ignored=ignored,
            exit_code=ended.exit_code,
            differences=tuple(await one.differences()),
            seconds=round(time.monotonic() - began, 1),
        )


@dataclass(frozen=True)
class Outage:
    """How a migration fared while its destination was away."""

    away: float
    knocks: int
    """Connections that were tried meanwhile."""
    exit_code: int
    error: str
    differences: tuple[str, ...]
    seconds: float


async def outage(ground: Ground, *, at_request: int, away: float, knocks: int) -> Outage:
    """F4: the destination goes away at a request, for so many seconds and tried connections at least."""
    began = time.monotonic()
    reached = anyio.Event()
    length = 0.0

    def rule(asked: Asked) -> Fault:
        if asked.number == at_request:
            reached.set()
        return Fault.PASS

    async with single(ground, "outage", patience_seconds=away + 60) as one:

        async def go_away() -> None:
            nonlocal length
            await reached.wait()
            length = await one.destination.stay_away(away, knocks)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(go_away)
            ended = await one.run(rule)
            tasks.cancel_scope.cancel()
        return Outage(
            away=round(length, 1),
            knocks=one.destination.knocks,
            exit_code=ended.exit_code,
            error=ended.error,
            differences=tuple(await one.differences()),
            seconds=round(time.monotonic() - began, 1),
        )
