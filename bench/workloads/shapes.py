"""The workloads W1 to W7, and those of single goals."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: The size at which goals are stated; a bench of fewer runs shrinks every workload in proportion.
FULL = 1000
KILO, MEGA, GIGA = 1000, 1000**2, 1000**3


@dataclass(frozen=True, slots=True)
class Shape:
    """How much of everything; params, metrics, points of each metric and files are those of each run."""

    name: str
    runs: int
    experiments: int = 1
    params: int = 0
    metrics: int = 0
    points: int = 0
    #: Bytes of each file.
    files: tuple[int, ...] = ()
    models: int = 0
    versions: int = 0
    #: Runs of a family: a parent and its children. Of every second family the parent is gone, and a child in its place.
    family: int = 0
    seed: int = 1

    def shrunk(self, runs: int) -> Shape:
        """Return the workload with runs and versions in the proportion of ``runs`` to `FULL`, one at least.

        Fewer versions are fewer models, but where few models have many versions, their number is what matters.
        """
        few = self.models < self.versions
        return replace(
            self,
            runs=scaled(self.runs, runs),
            experiments=min(self.experiments, scaled(self.runs, runs)),
            models=scaled(self.models, runs) if self.models and not few else self.models,
            versions=scaled(self.versions, runs) if few else self.versions,
        )


def scaled(full: int, runs: int) -> int:
    """Return a number in the proportion of ``runs`` to `FULL`, one at least."""
    return max(1, full * runs // FULL)


W1 = Shape("W1", 1000, experiments=10, params=20, metrics=10, points=50, files=(2 * KILO,) * 4, models=20, versions=10)
#: Small runs without files; its size is what varies in the goals on growth.
W2 = Shape("W2", 10_000, experiments=10, params=5, metrics=3, points=3)
#: One experiment with much history.
W3 = Shape("W3", 50, metrics=200, points=1000)
_MIXED = (
    *(200,) * 15,
    *(2 * KILO,) * 15,
    *(20 * KILO,) * 12,
    *(200 * KILO,) * 6,
    *(2 * MEGA,) * 2,
)
#: Files of mixed sizes, 5.5 MB for each run.
W4 = Shape("W4", 200, experiments=4, files=_MIXED)
#: A registry whose versions must come in order.
W5 = Shape("W5", 300, models=300, versions=30)
#: Nested runs; half of the children refer to parents that are not there.
W6 = Shape("W6", 20_000, experiments=10, params=2, metrics=1, points=1, family=10)
#: Few models with many versions: those of one model come one after the other, so the models must go side by side.
W7 = Shape("W7", 300, models=20, versions=300)


def long_history(points: int) -> Shape:
    """Return one run with so many points of one metric."""
    return Shape("one long history", 1, metrics=1, points=points)


def one_file(size: int) -> Shape:
    """Return one run with one file of ``size`` bytes."""
    return Shape("one file", 1, files=(size,))


def many_files(number: int, size: int) -> Shape:
    """Return one run with so many files of ``size`` bytes each."""
    return Shape("many files", 1, files=(size,) * number)
