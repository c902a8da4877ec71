"""The bench: workloads that read as if they had been logged, and contenders that move the same objects."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.bare.move import move
from bench.measured import measured
from bench.workloads import fill
from bench.workloads.rows import COLUMNS
from bench.workloads.shapes import W1, W2, W3, W4, W5, W6, W7, Shape, long_history
from bench.workloads.store import Store
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.oracle import compare
from tests.support.servers import MlflowServer

ID = re.compile(r"[0-9a-f]{32}")
TIMES_OF_THE_SERVER = {"creation_time", "last_update_time", "last_updated_time"}
MORE_THAN_A_BULK_HISTORY = 3000


def content(server: MlflowServer) -> dict[str, Counter[str]]:
    """The rows of a server by table, with names in the place of ids, without times and tags that a copy cannot have."""
    with Store(server.backend) as store:
        rows = {table: [dict(zip(COLUMNS[table], row, strict=True)) for row in store.rows(table)] for table in COLUMNS}
    experiments = {str(row["experiment_id"]): str(row["name"]) for row in rows["experiments"]}
    runs = {str(row["run_uuid"]): str(row["name"]) for row in rows["runs"]}

    def plain(column: str, value: object) -> str:
        if column == "experiment_id":
            return experiments[str(value)]
        named = re.sub(r"(?<=^mlflow-artifacts:/)\d+", lambda found: experiments[found[0]], str(value))
        return ID.sub(lambda found: runs.get(found[0], found[0]), named)

    return {
        table: Counter(
            str({column: plain(column, value) for column, value in row.items() if column not in TIMES_OF_THE_SERVER})
            for row in of_table
            if not str(row.get("key", "")).startswith("bulkexim.")
        )
        for table, of_table in rows.items()
    }


def files(server: MlflowServer) -> Counter[bytes]:
    return Counter(path.read_bytes() for path in server.artifacts.rglob("*") if path.is_file())


TINY = [
    W1.shrunk(5),
    W2.shrunk(1),
    replace(W3, runs=2, metrics=3, points=20),
    W4.shrunk(5),
    W5.shrunk(7),
    replace(W6, runs=12, family=3, experiments=2),
    replace(W7, runs=5, models=2, versions=3),
    long_history(MORE_THAN_A_BULK_HISTORY),
]


@pytest.mark.parametrize("shape", TINY, ids=lambda shape: shape.name)
def test_what_is_filled_is_what_the_api_would_have_written(shape: Shape, fresh_server: StartServer) -> None:
    source, written_by_api = fresh_server(), fresh_server()
    fill(source, shape)
    asyncio.run(move(source.url, written_by_api.url))
    assert content(source) == content(written_by_api)
    assert files(source) == files(written_by_api)
    assert len(list(source.artifacts.rglob("*.bin"))) == shape.runs * len(shape.files)


def test_the_migrator_and_the_bare_generator_move_the_same_objects(fresh_server: StartServer, tmp_path: Path) -> None:
    source, bare, ours = fresh_server("postgres"), fresh_server("postgres"), fresh_server("postgres")
    fill(source, W1.shrunk(12))
    asyncio.run(move(source.url, bare.url))
    assert migrated(source, ours, tmp_path).exit_code == 0
    assert content(source) == content(bare) == content(ours)
    assert files(source) == files(bare) == files(ours)
    assert compare(source.url, ours.url) == []


def test_the_memory_of_a_command_is_its_own() -> None:
    held = bytearray(300_000_000)
    spent = measured([sys.executable, "-c", "held = bytearray(50_000_000); print('done')"])
    assert (spent.code, spent.output) == (0, "done\n")
    assert 50 < spent.megabytes < len(held) / 1e6
