"""P5 to P7: what a second run takes, and how time and memory grow with the number of runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bench.goals.figure import Figure, at_most
from bench.ground import Ground, Migrated
from bench.series import Measure
from bench.workloads.shapes import GIGA, MEGA, W2, Shape, long_history, one_file, scaled

SIZES = SMALLEST, MIDDLE, LARGEST = 1000, 20_000, 50_000
REPEATED = 10_000
POINTS = 1_000_000
LARGE_FILE = 5 * GIGA
#: Megabytes that the migrating process may hold.
MEMORY = 200


def p5(ground: Ground) -> Iterator[Figure]:
    """Yield what a run takes that finds everything in place."""
    shape, work_dir = _small_runs(ground, REPEATED), ground.fresh("repeated")
    with ground.source(shape) as source, ground.destination() as destination:
        first, second = (ground.migrate(source.url, destination.url, work_dir=work_dir) for _ in range(2))
    share = second.spent.seconds / first.spent.seconds * 100
    basis = f"{shape.runs:,} runs: {first.spent.seconds:.1f} s, then {second.spent.seconds:.1f} s"
    yield at_most(3, "P5", "a second run, of the time of the first", share, basis=basis, unit="%")
    requests = second.requests / shape.runs * 1000
    basis = f"{second.requests:,} requests for {shape.runs:,} runs"
    yield at_most(60, "P5", "requests of a second run, per 1,000 runs", requests, basis=basis)


def p6(ground: Ground) -> Iterator[Figure]:
    """Yield the most memory that we hold: for many runs, a long history and a large file."""
    least, most = (_grown(ground, size).spent.megabytes for size in (SMALLEST, LARGEST))
    few, many = (scaled(size, ground.runs) for size in (SMALLEST, LARGEST))
    yield _memory("with the most runs", most, f"{many:,} runs")
    basis = f"{least:.0f} MB for {few:,} runs, {most:.0f} MB for {many:,}"
    yield at_most(1.25, "P6", "peak memory with the most runs over that with the fewest", most / least, basis=basis)
    history = long_history(scaled(POINTS, ground.runs))
    yield _memory("with one long history", _peak(ground, history), f"{history.points:,} points")
    large = one_file(scaled(LARGE_FILE, ground.runs))
    yield _memory("with one large file", _peak(ground, large), f"{large.files[0] / MEGA:,.0f} MB")


def p7(ground: Ground) -> Iterator[Figure]:
    """Yield how the time for a run grows with the number of runs."""
    sizes = [scaled(size, ground.runs) for size in (SMALLEST, MIDDLE)]
    few, many = (
        _grown(ground, size).seconds / runs * 1000 for size, runs in zip((SMALLEST, MIDDLE), sizes, strict=True)
    )
    basis = f"{few:.2f} ms a run at {sizes[0]:,} runs, {many:.2f} ms at {sizes[1]:,}"
    yield at_most(1.10, "P7", "time per run with many runs over that with few", many / few, basis=basis)


def series(ground: Ground) -> list[Measure]:
    """Return time and memory by the number of runs, at the sizes that were measured this time."""
    found = []
    for size in SIZES:
        grown: Migrated | None = ground.measured(_small_runs(ground, size))
        if grown is not None:
            found.append(Measure(scaled(size, ground.runs), grown.seconds, grown.spent.megabytes))
    return found


def _small_runs(ground: Ground, full: int) -> Shape:
    return replace(W2, runs=full).shrunk(ground.runs)


def _grown(ground: Ground, full: int) -> Migrated:
    shape = _small_runs(ground, full)
    return ground.once(shape, lambda: _migrated(ground, shape))


def _migrated(ground: Ground, shape: Shape) -> Migrated:
    with ground.source(shape) as source, ground.destination() as destination:
        return ground.migrate(source.url, destination.url)


def _memory(when: str, megabytes: float, basis: str) -> Figure:
    return at_most(MEMORY, "P6", f"peak memory {when}", megabytes, basis=basis, unit="MB")


def _peak(ground: Ground, shape: Shape) -> float:
    return _migrated(ground, shape).spent.megabytes
