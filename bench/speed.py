"""Measures the goals of speed, each as a ratio or a bound within one run on one machine.

    python -m bench.speed p1 p2 p4 [--runs 1000] [--rounds 3] [--keep]
    python -m bench.speed p3 --peer-bin DIRECTORY     the folder with the commands export-all and import-all
    python -m bench.speed w2 w3 w4 w5 w6 w7           the other workloads, as p1 and p2 measure W1
    python -m bench.speed                             p1 to p9, p3 only with --peer-bin

With fewer runs every workload shrinks in proportion, to see that all works; goals hold for 1,000. Times are set beside
those of a bare load generator at the number of requests at once that suits it best.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from bench.goals.artifacts import p8
from bench.goals.client import p4
from bench.goals.contest import p1, p2, p3
from bench.goals.figure import Figure
from bench.goals.growth import p5, p6, p7, series
from bench.goals.others import w2, w3, w4, w5, w6, w7
from bench.goals.pace import p9
from bench.ground import Ground, ground, say
from bench.kept import keep, keep_series
from bench.workloads.shapes import FULL

GOALS: dict[str, Callable[[Ground], Iterator[Figure]]] = {
    goal.__name__: goal for goal in (p1, p2, p3, p4, p5, p6, p7, p8, p9, w2, w3, w4, w5, w6, w7)
}
#: Those that are measured where none is named.
STATED = frozenset(goal for goal in GOALS if goal.startswith("p"))


def main() -> None:
    """Measure what was asked for, print a table, and keep the figures on demand."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("goals", nargs="*", metavar="GOAL", help=f"one of {', '.join(GOALS)}")
    parser.add_argument("--runs", type=int, default=FULL, help="runs of W1; the rest is in proportion")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender, where they are cheap")
    parser.add_argument("--peer-bin", type=Path, metavar="DIRECTORY", help="where mlflow-export-import is")
    parser.add_argument("--keep", action="store_true", help="write the figures beside this file")
    options = parser.parse_args()
    goals = options.goals or [goal for goal in GOALS if goal in STATED and (goal != p3.__name__ or options.peer_bin)]
    if unknown := set(goals) - set(GOALS):
        parser.error(f"no such goal: {', '.join(sorted(unknown))}")
    # A bench that is ended from outside ends its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with (
        TemporaryDirectory(prefix="bulkexim-bench-") as home,
        ground(Path(home), options.runs, options.rounds, options.peer_bin) as place,
    ):
        _measure(place, goals, kept=options.keep)


def _measure(place: Ground, goals: list[str], *, kept: bool) -> None:
    figures: list[Figure] = []
    busy = os.getloadavg()[0]  # later it would be that of the bench itself
    for goal in goals:
        say(f"{goal}:")
        found = list(GOALS[goal](place))
        figures += found
        if kept:
            keep(goal, found, _command(place, goal), place.backend, busy)
    if kept and place.runs == FULL and {p6.__name__, p7.__name__} & set(goals):
        keep_series(series(place))
    _show(figures)


def _command(place: Ground, goal: str) -> str:
    peer = " --peer-bin DIRECTORY" if goal == p3.__name__ else ""
    smaller = f" --runs {place.runs}" if place.runs != FULL else ""
    return f"python -m bench.speed {goal} --rounds {place.rounds}{smaller}{peer}"


def _show(figures: list[Figure]) -> None:
    table = Table("goal", "what", "figure", "wanted", "", "from")
    for one in figures:
        wanted = f"{one.bound} {one.limit:g} {one.unit}"
        table.add_row(one.goal, one.what, f"{one.value:.3g} {one.unit}", wanted, "yes" if one.met else "no", one.basis)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    main()
