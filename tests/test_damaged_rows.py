"""A row of the source's database that its server cannot read costs itself: the rest arrives, and it is named."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from mlflow import MlflowClient

from bulkexim.config import Level
from bulkexim.engine.verification import Verdict
from bulkexim.left_behind import Cause
from tests.conftest import StartServer
from tests.support.migrating import migrated, of, planned
from tests.support.servers import MlflowServer, Servers
from tests.support.verifying import verified

RUNS = 30
NAMES = [f"name {number:02}" for number in range(12)]


@pytest.fixture(scope="module")
def whole(servers: Servers) -> MlflowServer:
    """A server with some objects of each kind; damage copies of it."""
    server = servers.start()
    client = MlflowClient(server.url, server.url)
    for name in NAMES:
        client.create_experiment(name)
        client.create_registered_model(name)
    for number in range(RUNS):
        client.create_run("1", start_time=1 + number, run_name=f"run {number:02}")
    for number in range(len(NAMES)):
        client.create_logged_model("1", f"net-{number:02}")
        client.create_model_version(NAMES[0], f"s3://bucket/{number}")
    return server


class Damage(NamedTuple):
    """A column that gets a value which it cannot have, and the kind and place of the object that nobody can read then.

    (A model whose latest version is damaged cannot be read either.)
    """

    table: str
    column: str
    value: str
    where: str
    kind: str
    place: int

    @property
    def statement(self) -> str:
        return f"UPDATE {self.table} SET {self.column} = {self.value} WHERE {self.where}"


RUN = Damage("runs", "end_time", "'never'", "name = 'run 17'", "run", 18)
IN_THE_MIDDLE = [
    RUN,
    Damage("experiments", "creation_time", "'never'", "name = 'name 05'", "experiment", 7),
    Damage("registered_models", "creation_time", "'never'", "name = 'name 07'", "registered_model", 8),
    Damage("logged_models", "status", "77", "name = 'net-06'", "logged_model", 7),
    Damage("model_versions", "creation_time", "'never'", "version = 4", "model_version", 4),
]
AT_AN_END = [
    Damage("experiments", "creation_time", "'never'", "name = 'Default'", "experiment", 1),
    Damage("runs", "end_time", "'never'", "name = 'run 00'", "run", 1),
    Damage("registered_models", "creation_time", "'never'", "name = 'name 11'", "registered_model", 12),
    Damage("logged_models", "status", "77", "name = 'net-00'", "logged_model", 1),
    Damage("model_versions", "creation_time", "'never'", "version = 1", "model_version", 1),
]


@pytest.fixture
def damaged(servers: Servers, whole: MlflowServer) -> Iterator[Callable[..., MlflowServer]]:
    """Returns a copy of the server in whose database statements were carried out."""
    copies: list[MlflowServer] = []

    def damage(*statements: str) -> MlflowServer:
        copies.append(servers.copy(whole))
        with closing(sqlite3.connect(copies[-1].database)) as database, database:
            for statement in statements:
                database.execute(statement)
        return copies[-1]

    yield damage
    for one in copies:
        one.stop()


@pytest.mark.parametrize("damages", [IN_THE_MIDDLE, AT_AN_END], ids=["in the middle", "at an end"])
def test_what_cannot_be_read_costs_itself(
    damages: Sequence[Damage], damaged: Callable[..., MlflowServer], fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = damaged(*(damage.statement for damage in damages)), fresh_server()
    report = migrated(source, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 3)
    (behind,) = report.left_behind
    assert behind.cause is Cause.NOT_COUNTED
    told = {one.kind: one.detail for one in behind.first}
    assert len(told) == behind.number == len(damages)
    for damage in damages:
        assert f"number {damage.place} of its listing" in told[damage.kind]
        assert "HTTP " in told[damage.kind]
    there = MlflowClient(destination.url, destination.url)
    names = {one.name: one.experiment_id for one in there.search_experiments()}
    assert len(names) == 1 + len(NAMES) - ("name 05" not in names)
    assert len(there.search_runs([names[NAMES[0]]])) == RUNS - 1
    assert len(there.search_logged_models([names[NAMES[0]]])) == len(NAMES) - 1
    assert len(there.search_registered_models()) == len(NAMES) - 1
    assert len(there.search_model_versions()) == len(NAMES) - 1


@pytest.mark.parametrize("number", [0, 1, 17, RUNS - 1])
def test_a_run_that_mlflow_cannot_even_read_costs_itself(
    number: int, damaged: Callable[..., MlflowServer], fresh_server: StartServer, tmp_path: Path
) -> None:
    """MLflow reads one row more than a page has, so it cannot list the run before it either."""
    damage = RUN._replace(column="user_id", value="NULL", where=f"name = 'run {number:02}'")
    source, destination = damaged(damage.statement), fresh_server()
    report = migrated(source, destination, tmp_path, experiments=(NAMES[0],))
    (behind,) = report.left_behind
    assert [one.detail.partition(" of its listing")[0] for one in behind.first] == [f"number {number + 1}"]
    assert (of(report, "run").moved, report.failures, report.exit_code) == (RUNS - 1, (), 3)


def test_several_in_a_row_are_told_by_the_plan_the_report_and_the_comparison(
    damaged: Callable[..., MlflowServer], fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = damaged(RUN._replace(where="name LIKE 'run 1%'").statement), fresh_server()
    plan = planned(source, destination, tmp_path)
    assert [(one.cause, one.number) for one in plan.left_behind] == [(Cause.NOT_COUNTED, 10)]
    report = migrated(source, destination, tmp_path, accept=("not-counted",))
    assert [one.number for one in report.left_behind] == [10]
    assert (of(report, "run").moved, report.exit_code) == (RUNS - 10, 0)
    comparison = verified(source, destination, Level.COUNTS)
    assert [(one.kind, one.verdict) for one in comparison.findings] == [("run", Verdict.NOT_COMPARABLE)] * 10
    assert comparison.exit_code == 3
