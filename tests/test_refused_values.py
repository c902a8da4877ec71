"""MLflow refuses a whole call for one value: that value stays behind by name, and all beside it arrives."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from bulkexim.ends.bodies import HOPELESS, Bodies, Item
from bulkexim.errors import Refused
from tests.conftest import StartServer
from tests.support.migrating import left_behind, migrated, moved, of
from tests.support.servers import MlflowServer
from tests.support.verifying import told, verified


class Picky:
    """Refuses a call with any of the values ``bad``, and keeps what it took and how often it refused."""

    def __init__(self, bad: Sequence[int]) -> None:
        self.bad = {("metrics", number) for number in bad}
        self.taken: list[Item] = []
        self.refusals = 0

    async def send(self, items: Sequence[Item]) -> None:
        if self.bad & set(items):
            self.refusals += 1
            raise Refused("no", status=400)
        self.taken += items


def numbers(count: int) -> list[Item]:
    return [("metrics", number) for number in range(count)]


@pytest.mark.anyio
@pytest.mark.parametrize("bad", [[0], [999], [0, 1, 500], [10, 20, 30, 40]])
async def test_a_value_that_is_refused_stays_behind_alone(bad: list[int]) -> None:
    server = Picky(bad)
    declined = await Bodies().sent(numbers(1000), server.send)
    assert [one.item for one in declined] == [("metrics", number) for number in bad]
    assert server.taken == [item for item in numbers(1000) if item[1] not in bad]
    assert server.refusals <= 11 * len(bad)


@pytest.mark.anyio
@pytest.mark.parametrize("count", [2, HOPELESS, 1000])
async def test_what_is_refused_whatever_it_holds_is_not_the_fault_of_a_value(count: int) -> None:
    server = Picky(range(count))
    with pytest.raises(Refused):
        await Bodies().sent(numbers(count), server.send)
    assert server.refusals <= 4 * HOPELESS


@pytest.mark.anyio
async def test_a_refusal_for_another_reason_is_not_looked_into() -> None:
    async def forbidden(_items: Sequence[Item]) -> None:
        raise Refused("no right", status=403)

    with pytest.raises(Refused, match="no right"):
        await Bodies().sent(numbers(5), forbidden)


def damage(server: MlflowServer, *statements: str) -> None:
    with closing(sqlite3.connect(server.database)) as database, database:
        for statement in statements:
            database.execute(statement)


def test_everything_beside_values_that_mlflow_refuses_arrives(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    client = MlflowClient(source.url, source.url)
    run = client.create_run("0", run_name="run").info.run_id
    client.log_batch(run, [Metric(f"m{number}", number, 1000, number) for number in range(5)])
    client.log_batch(run, params=[Param(f"p{number}", "x") for number in range(5)], tags=[RunTag("t", "x")])
    client.create_registered_model("net", {"good": "1", "odd": "2"})
    client.create_model_version("net", "s3://bucket/net", tags={"good": "1", "odd": "2"})
    damage(
        source,
        "UPDATE metrics SET timestamp = -5 WHERE key = 'm3'",
        "UPDATE params SET key = '' WHERE key = 'p1'",
        "UPDATE registered_model_tags SET key = 'od#d' WHERE key = 'odd'",
        "UPDATE model_version_tags SET key = 'od#d' WHERE key = 'odd'",
    )
    report = migrated(source, destination, tmp_path, accept=("version-source",))
    assert (report.failures, report.exit_code) == ((), 3)
    named = [detail.partition(":")[0] for cause, detail in left_behind(report) if cause == "value-refused"]
    assert named == ["metric 'm3'", "param ''", "tag 'od#d'", "tag 'od#d'"]
    there = MlflowClient(destination.url, destination.url)
    (arrived,) = there.search_runs(["0"])
    assert set(arrived.data.metrics) == {"m0", "m1", "m2", "m4"}
    assert set(arrived.data.params) == {"p0", "p2", "p3", "p4"}
    assert arrived.info.status == "RUNNING" and arrived.data.tags["t"] == "x"
    assert there.get_registered_model("net").tags["good"] == there.get_model_version("net", "1").tags["good"] == "1"
    accepted = ("version-source", "value-refused")
    found = told(verified(source, destination, work_dir=tmp_path))
    assert [line.partition(":")[0] for line in found if "source" not in line] == [
        "run run differs metrics / m3",
        "run run differs params / ",
        "registered_model net differs tags / od#d",
        "model_version net version 1 differs tags / od#d",
    ]
    assert told(verified(source, destination, work_dir=tmp_path, accept=accepted)) == []
    again = migrated(source, destination, tmp_path, accept=accepted)
    assert (again.exit_code, of(again, "run").failed) == (0, 0)
    assert moved(again) <= 1  # the run has not ended
