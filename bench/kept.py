"""The last figures of every goal: as JSON, as a Markdown table and as a picture, in files beside this one."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import msgspec

from bench.goals.figure import Figure
from bench.series import Measure, draw

HOME = Path(__file__).parent
KEPT, TABLE, PICTURE = HOME / "speed.json", HOME / "SPEED.md", HOME / "speed.svg"
#: Tasks that run or want to, on average of a minute, from which on the machine is not the bench's own.
BUSY = 1.0
HEAD = """# Speed: the last figures

Written by `python -m bench.speed GOAL ... --keep`. Real MLflow servers on loopback, sources filled by SQL, every
contender on the same source with a destination of its own, in the same run on the same machine; so ratios count, and
seconds tell only how they came about.

| goal | what | figure | wanted | reached | from | command | day, machine |
|---|---|---|---|---|---|---|---|
"""
PICTURED = f"\n![Time for a run and peak memory, by the number of runs]({PICTURE.name})\n"


class Entry(msgspec.Struct, frozen=True):
    """The figures of one goal, and how they came about."""

    figures: list[Figure]
    command: str
    day: str
    machine: str


class Kept(msgspec.Struct, frozen=True):
    """All that is kept, by goal."""

    goals: dict[str, Entry] = {}
    series: list[Measure] = []


def keep(goal: str, figures: Sequence[Figure], command: str, backend: str, busy: float) -> None:
    """Put the figures of one goal in the place of its last; ``busy`` is the load of the machine before."""
    kept = _kept()
    machine = f"{os.cpu_count()} cores, {backend}, Python {platform.python_version()}, MLflow {version('mlflow')}"
    if busy >= BUSY:
        machine += f"; the machine had other work (load {busy:.0f})"
    entry = Entry(list(figures), command, f"{datetime.now(UTC):%Y-%m-%d}", machine)
    _write(Kept(kept.goals | {goal: entry}, kept.series))


def keep_series(measures: Sequence[Measure]) -> None:
    """Put each measure in the place of the last of its size, and draw all of them."""
    kept = _kept()
    by_size = {one.runs: one for one in (*kept.series, *measures)}
    series = [by_size[runs] for runs in sorted(by_size)]
    draw(series, PICTURE)
    _write(Kept(kept.goals, series))


def _kept() -> Kept:
    return msgspec.json.decode(KEPT.read_bytes(), type=Kept) if KEPT.exists() else Kept()


def _write(kept: Kept) -> None:
    KEPT.write_bytes(msgspec.json.format(msgspec.json.encode(kept, order="sorted"), indent=1) + b"\n")
    rows = (_row(figure, kept.goals[goal]) for goal in sorted(kept.goals) for figure in kept.goals[goal].figures)
    TABLE.write_text(HEAD + "".join(rows) + (PICTURED if kept.series else ""))


def _row(figure: Figure, entry: Entry) -> str:
    cells = [
        figure.goal,
        figure.what,
        f"{figure.value:.3g} {figure.unit}".strip(),
        f"{figure.bound} {figure.limit:g} {figure.unit}".strip(),
        "yes" if figure.met else "no",
        figure.basis,
        f"`{entry.command}`",
        f"{entry.day}, {entry.machine}",
    ]
    return f"| {' | '.join(cells)} |\n"
