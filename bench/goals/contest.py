"""P1 to P3: W1 moved by us, by the bare load generator and by mlflow-export-import; and the other workloads."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from bench.bare.move import Bare
from bench.goals.figure import Figure, at_least, at_most
from bench.goals.floor import Pace, best_pace
from bench.goals.versions import check_versions
from bench.ground import Ground, Migrated
from bench.workloads.shapes import W1, Shape
from tests.support.servers import MlflowServer


class Round(NamedTuple):
    """Both contenders on the same source, each with a destination of its own."""

    ours: Migrated
    bare: Bare


class Contest(NamedTuple):
    """All rounds, the pace of the bare generator, and what the plan before them said."""

    planned: int
    pace: Pace
    rounds: list[Round]

    @property
    def ours(self) -> float:
        """The median of our seconds, the start of the command included."""
        return median(one.ours.spent.seconds for one in self.rounds)

    @property
    def bare(self) -> float:
        """The median of the bare generator's seconds."""
        return median(one.bare.seconds for one in self.rounds)

    @property
    def basis(self) -> str:
        """Where the ratio of the two comes from."""
        middle = min(self.rounds, key=lambda one: abs(one.bare.seconds - self.bare)).bare
        parts = f"{middle.reading:.1f} reading, {middle.writing:.1f} writing, {self.pace}"
        return f"ours {self.ours:.1f} s, bare {self.bare:.1f} s ({parts})"


def p1(ground: Ground) -> Iterator[Figure]:
    """Yield our time over that of reading everything and then writing everything."""
    found = contest(ground, W1)
    what = "W1: our time over reading, then writing everything"
    yield at_most(1, "P1", what, found.ours / found.bare, basis=found.basis)


def p2(ground: Ground) -> Iterator[Figure]:
    """Yield our requests over the least that will do, and how far off the plan was."""
    found = contest(ground, W1)
    ours = found.rounds[0].ours.requests
    least = sum(found.rounds[0].bare.requests.values())
    off = abs(found.planned - ours) / ours * 100
    yield at_most(1.03, "P2", "W1: our requests over the unavoidable", ours / least, basis=f"{ours:,} of {least:,}")
    basis = f"{found.planned:,} planned, {ours:,} sent"
    yield at_most(5, "P2", "W1: error of the plan's estimate", off, basis=basis, unit="%")


def p3(ground: Ground) -> Iterator[Figure]:
    """Yield the time of mlflow-export-import over ours."""
    if ground.peer is None:
        raise SystemExit("p3 needs mlflow-export-import: give the folder of its commands with --peer-bin.")
    ours = contest(ground, W1).ours
    with ground.source(W1.shrunk(ground.runs)) as source, ground.destination() as destination:
        peer = ground.peer_seconds(source.url, destination.url)
    what = "W1: time of mlflow-export-import, with threads, over ours"
    yield at_least(5, "P3", what, peer / ours, basis=f"ours {ours:.1f} s, theirs {peer:.1f} s")


def contest(ground: Ground, shape: Shape) -> Contest:
    """Return how we and the bare load generator moved a workload, measured once."""
    shape = shape.shrunk(ground.runs)
    return ground.once(("contest", shape), lambda: _held(ground, shape))


def _held(ground: Ground, shape: Shape) -> Contest:
    pace = best_pace(ground, shape)
    with ground.source(shape) as source:
        with ground.destination() as destination:
            planned = ground.migrate(source.url, destination.url, "--dry-run").report
        rounds = [_round(ground, source, pace, ours_first=number % 2 == 0) for number in range(ground.rounds)]
    return Contest(planned["src_requests"] + planned["dst_requests"], pace, rounds)


def _round(ground: Ground, source: MlflowServer, pace: Pace, *, ours_first: bool) -> Round:
    """Let both go, in turn; the destinations live no longer than needed, for they take memory and CPU."""
    bare = None if ours_first else _bare(ground, source, pace)
    with ground.destination() as destination:
        ours = ground.migrate(source.url, destination.url)
        check_versions(source, destination)
    return Round(ours, bare or _bare(ground, source, pace))


def _bare(ground: Ground, source: MlflowServer, pace: Pace) -> Bare:
    with ground.destination() as destination:
        return ground.bare(source.url, destination.url, *pace)
