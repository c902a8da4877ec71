"""P8: how fast files go, beside curl and a bare loop."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Callable, Iterator
from statistics import median
from urllib.parse import quote

from bench.bare.reading import listing
from bench.bare.wire import BYTES, SERVICE, wire
from bench.goals.figure import Figure, at_least
from bench.ground import Ground, say
from bench.workloads.rows import filled
from bench.workloads.shapes import GIGA, KILO, Shape, many_files, one_file, scaled
from tests.support.servers import MlflowServer

LARGE, MANY, SMALL = 2 * GIGA, 10_000, 10 * KILO
#: Where the bare copies go: an experiment that no server has.
ELSEWHERE = "bare"

Copy = Callable[[MlflowServer, MlflowServer, str], float]


def p8(ground: Ground) -> Iterator[Figure]:
    """Yield our rate over the bare one, for one large file and for many small ones."""
    large, many = one_file(scaled(LARGE, ground.runs)), many_files(scaled(MANY, ground.runs), SMALL)
    yield _rates(ground, large, _by_curl, "one large file: our rate over that of curl")
    yield _rates(ground, many, _by_loop, "many small files: our rate over that of a bare loop")


def _rates(ground: Ground, shape: Shape, copy: Copy, what: str) -> Figure:
    ours, bare, root = [], [], filled(shape, 0).root
    with ground.source(shape) as source:
        for number in range(ground.rounds):
            with ground.destination() as destination:
                if number % 2:
                    bare.append(copy(source, destination, root))
                # What comes before and after the files would weigh more than they do.
                ours.append(ground.migrate(source.url, destination.url).phase("run"))
                if not number % 2:
                    bare.append(copy(source, destination, root))
    size = sum(shape.files) / 1e6
    rates = size / median(ours), size / median(bare)
    basis = f"{len(shape.files):,} files, {size:,.0f} MB: ours {rates[0]:,.0f} MB/s, bare {rates[1]:,.0f} MB/s"
    return at_least(0.9, "P8", what, rates[0] / rates[1], basis=basis)


def _by_curl(source: MlflowServer, destination: MlflowServer, root: str) -> float:
    """Stream one file from curl to curl; return the seconds."""
    [path] = list((source.artifacts / root).iterdir())
    quiet = ["curl", "--silent", "--show-error", "--fail"]
    # MLflow's server takes no chunks, so the length is told; and nobody waits for a permission to send.
    told = ("Transfer-Encoding:", "Expect:", f"Content-Length: {path.stat().st_size}")
    take = [*quiet, f"{source.url}{SERVICE}/{root}/{path.name}"]
    give = [*quiet, *(word for line in told for word in ("-H", line)), "-T", "-"]
    began = time.perf_counter()
    with subprocess.Popen(take, stdout=subprocess.PIPE) as reading:  # noqa: S603 - our own servers
        target = f"{destination.url}{SERVICE}/{ELSEWHERE}/{path.name}"
        subprocess.run([*give, target], stdin=reading.stdout, stdout=subprocess.DEVNULL, check=True)  # noqa: S603
    seconds = time.perf_counter() - began
    _check(destination, path.stat().st_size)
    say(f"curl: {seconds:.1f} s")
    return seconds


def _by_loop(source: MlflowServer, destination: MlflowServer, root: str) -> float:
    """Copy every file of a folder, each read and then written; return the seconds."""

    async def copy() -> float:
        async with wire(source.url) as src, wire(destination.url) as dst:

            async def one(path: str) -> None:
                content = await src.ask("GET", f"{SERVICE}/{quote(f'{root}/{path}')}")
                await dst.ask("PUT", f"{SERVICE}/{ELSEWHERE}/{quote(path)}", content, BYTES)

            began = time.perf_counter()
            await dst.each([entry["path"] for entry in await listing(src, root)], one)
            return time.perf_counter() - began

    seconds = asyncio.run(copy())
    _check(destination, sum(path.stat().st_size for path in (source.artifacts / root).iterdir()))
    say(f"bare loop: {seconds:.1f} s")
    return seconds


def _check(destination: MlflowServer, size: int) -> None:
    """Make sure that a bare copy arrived."""
    arrived = sum(path.stat().st_size for path in (destination.artifacts / ELSEWHERE).iterdir())
    if arrived != size:
        raise SystemExit(f"The bare copy brought {arrived:,} bytes of {size:,}.")
