"""Time and memory by the number of runs, and the picture of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec


class Measure(msgspec.Struct, frozen=True):
    """What so many runs took, in seconds and megabytes."""

    runs: int
    seconds: float
    megabytes: float


def draw(measures: Sequence[Measure], path: Path) -> None:
    """Write a picture as SVG, the same for the same measures."""
    import matplotlib as mpl  # noqa: PLC0415 - it takes a second, and only a bench that is kept draws

    mpl.use("svg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - it must know the output first

    runs = [one.runs for one in measures]
    with plt.rc_context({"svg.hashsalt": "bulkexim", "svg.fonttype": "none"}):
        picture, (time, memory) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
        time.plot(runs, [one.seconds / one.runs * 1000 for one in measures], marker="o")
        time.set(xlabel="runs", ylabel="milliseconds for a run", xlim=(0, None), ylim=(0, None))
        memory.plot(runs, [one.megabytes for one in measures], marker="o")
        memory.set(xlabel="runs", ylabel="peak memory, MB", xlim=(0, None), ylim=(0, None))
        picture.savefig(path, metadata={"Date": None})
        plt.close(picture)
