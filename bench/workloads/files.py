"""The artifacts of a workload, written straight into the folder of its server."""

from __future__ import annotations

from pathlib import Path
from random import Random

from bench.workloads.rows import filled
from bench.workloads.shapes import MEGA, Shape

BLOCK = MEGA


def write_files(folder: Path, shape: Shape) -> None:
    """Write the files of every run; no two of them begin alike."""
    if not shape.files:
        return
    block = Random(shape.seed).randbytes(BLOCK)  # noqa: S311 - a workload, not a secret
    for number in range(shape.runs):
        run = filled(shape, number)
        root = folder / run.root
        root.mkdir(parents=True)
        for file, size in enumerate(shape.files):
            _write(root / f"file-{file}.bin", f"{run.id} {file} ".encode(), block, size)


def _write(path: Path, head: bytes, block: bytes, size: int) -> None:
    with path.open("wb") as out:
        left = size - out.write(head[:size])
        while left:
            left -= out.write(block[:left])
