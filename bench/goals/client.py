"""P4: what a small request costs us, with few connections and with many."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from statistics import median

from bench.goals.figure import Figure, at_most
from bench.ground import Ground, say
from bench.loopback import loopback
from bench.measured import successful
from bench.workloads.shapes import scaled

CONNECTIONS = (16, 64, 256)
REQUESTS = 20_000


def p4(ground: Ground) -> Iterator[Figure]:
    """Yield the CPU of our process for a small request, and how it grows with the connections."""
    found: dict[int, list[float]] = {connections: [] for connections in CONNECTIONS}
    with loopback() as url:
        for _ in range(ground.rounds):
            for connections, times in found.items():
                times.append(_one(url, connections, scaled(REQUESTS, ground.runs)))
    cpu = {connections: median(times) for connections, times in found.items()}
    basis = ", ".join(f"{milliseconds:.2f} ms at {connections}" for connections, milliseconds in cpu.items())
    yield at_most(0.4, "P4", "client CPU for a small request, at worst", max(cpu.values()), basis=basis, unit="ms")
    growth = cpu[CONNECTIONS[-1]] / cpu[CONNECTIONS[0]]
    yield at_most(1.25, "P4", "client CPU with the most connections over that with the fewest", growth, basis=basis)


def _one(url: str, connections: int, requests: int) -> float:
    spent = successful([sys.executable, "-m", "bench.small_requests", url, str(connections), str(requests)])
    say(f"{connections} connections: {float(spent.output):.3f} ms")
    return float(spent.output)
