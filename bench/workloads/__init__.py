"""Workloads for the speed goals: their shapes, and a way to fill a server with them in seconds."""

from __future__ import annotations

from bench.workloads.files import write_files
from bench.workloads.rows import batches
from bench.workloads.shapes import Shape
from bench.workloads.store import Store
from tests.support.servers import MlflowServer


def fill(server: MlflowServer, shape: Shape) -> None:
    """Write a workload into the store and the artifact folder of an empty server, as its API would have done.

    The server may run meanwhile. The same shape always gives the same content, ids included.
    """
    with Store(server.backend) as store:
        for batch in batches(shape):
            for table, rows in batch.items():
                store.write(table, rows)
        store.settle()
    write_files(server.artifacts, shape)
