"""Names that a destination does not take, or does not tell apart: they are named, and nothing else fails with them."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from bulkexim.engine.report import Failure
from bulkexim.left_behind import Cause
from tests.conftest import StartServer
from tests.support.migrating import changes, migrated, moved, planned, swept
from tests.support.oracle import read
from tests.support.servers import MlflowServer, Servers
from tests.support.verifying import told, verified

RENAMES = {"team/net": "team-net", "ours:net": "ours-net"}
#: Columns that MySQL and MariaDB compare without regard to case.
CASELESS = {
    "experiments": "name",
    "registered_models": "name",
    "registered_model_aliases": "alias",
    "tags": "key",
    "params": "key",
}


def _client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(server.url, server.url)


@pytest.fixture(scope="module")
def slashed(servers: Servers) -> MlflowServer:
    """A source with registered models whose names MLflow took until 2.22, and one whose name it takes for ever."""
    server = servers.start()
    client = _client(server)
    for name in ("team-net", "ours-net", "plain"):
        client.create_registered_model(name, {"for": name})
        for number in (1, 2):
            client.create_model_version(name, f"s3://bucket/{number}", tags={"number": str(number)})
        client.set_registered_model_alias(name, "live", "2")
    with closing(sqlite3.connect(server.database)) as database:
        tables = ("registered_models", "model_versions")
        for table in (*tables, "registered_model_tags", "model_version_tags", "registered_model_aliases"):
            for name, now in RENAMES.items():
                database.execute(f"update {table} set name = ? where name = ?", (name, now))
        database.commit()
    return server


def _kinds(failures: tuple[Failure, ...]) -> list[tuple[str, str, str]]:
    return sorted((failure.kind, failure.id, failure.cause) for failure in failures)


def test_the_plan_names_the_models_with_their_versions_and_the_remedy(
    slashed: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    """What depends on a model that cannot be created fails with it, and the exit code is that of the migration."""
    destination = fresh_server()
    plan = planned(slashed, destination, tmp_path / "work")
    report = migrated(slashed, destination, tmp_path / "work")
    assert set(plan.failures) == set(report.failures)
    assert (plan.failing, plan.exit_code) == (report.failed, report.exit_code) == (6, 3)
    assert {kind.kind: kind.to_move for kind in plan.kinds} == {
        kind.kind: kind.moved for kind in report.kinds if kind.found
    }
    told = [failure.error for failure in plan.failures if failure.kind == "registered_model"]
    assert ["--model-rename-file" in error for error in told] == [True, True]


def test_what_is_not_taken_fails_by_name_and_the_others_arrive(
    slashed: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    report = migrated(slashed, destination, tmp_path)
    assert report.exit_code == 3
    assert _kinds(report.failures) == [
        ("model_version", "ours:net/1", "model not moved"),
        ("model_version", "ours:net/2", "an earlier one failed"),
        ("model_version", "team/net/1", "model not moved"),
        ("model_version", "team/net/2", "an earlier one failed"),
        ("registered_model", "ours:net", "name not taken"),
        ("registered_model", "team/net", "name not taken"),
    ]
    (error,) = (failure.error for failure in report.failures if failure.id == "team/net")
    assert "'team/net'" in error
    assert "--model-rename-file" in error
    assert read(destination.url).registered_models.keys() == {"plain"}
    verification = verified(slashed, destination)
    assert verification.exit_code == 4
    assert [line for line in told(verification) if "plain" in line] == []


def test_under_other_names_they_arrive_whole(slashed: MlflowServer, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    report = migrated(slashed, destination, tmp_path, model_renames=RENAMES)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert after.registered_models.keys() == {"plain", *RENAMES.values()}
    assert after.registered_models["team-net"].aliases == {"live": "2"}
    assert after.versions["team-net", 2].tags["bulkexim.source.name"] == "team/net"
    assert told(verified(slashed, destination, model_renames=RENAMES)) == []


def test_an_older_destination_takes_them_as_they_are(
    slashed: MlflowServer, servers: Servers, old_python: str, tmp_path: Path
) -> None:
    destination = servers.start(python=old_python)
    report = migrated(slashed, destination, tmp_path / "first")
    assert (report.failures, report.exit_code) == ((), 0)
    before = read(destination.url)
    assert before.registered_models["team/net"].aliases == {"live": "2"}
    for folder in ("first", "a lost ledger"):
        report = migrated(slashed, destination, tmp_path / folder)
        assert report.exit_code == 0
        assert read(destination.url).versions.keys() == before.versions.keys()
    assert swept(slashed, destination, tmp_path / "first").found == ()
    assert told(verified(slashed, destination)) == []


def test_an_alias_that_mlflow_keeps_for_itself_fails_no_model(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = servers.start(), fresh_server()
    client = _client(source)
    client.create_registered_model("net")
    client.create_model_version("net", "s3://bucket/1")
    for alias in ("live", "soon"):
        client.set_registered_model_alias("net", alias, "1")
    with closing(sqlite3.connect(source.database)) as database:
        database.execute("update registered_model_aliases set alias = 'Latest' where alias = 'soon'")
        database.commit()
    report = migrated(source, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 3)
    (left,) = report.left_behind
    assert (left.cause, left.first[0].detail[:14]) == (Cause.LINK, "alias 'Latest'")
    net = read(destination.url).registered_models["net"]
    assert (net.aliases, net.tags["bulkexim.source.alias.Latest"]) == ({"live": "1"}, "1")


def _without_case(server: MlflowServer) -> None:
    """Let the columns of a new store compare as those of MySQL do."""
    with closing(sqlite3.connect(server.database, isolation_level=None)) as database:
        database.execute("pragma writable_schema = on")
        for table, column in CASELESS.items():
            (sql,) = database.execute(
                "select sql from sqlite_master where type = 'table' and name = ?", (table,)
            ).fetchone()
            changed, count = re.subn(rf'("?\b{column}"? VARCHAR\(\d+\))', r"\1 COLLATE NOCASE", sql, count=1)
            assert count == 1, sql
            database.execute("update sqlite_master set sql = ? where type = 'table' and name = ?", (changed, table))
        (version,) = database.execute("pragma schema_version").fetchone()
        database.execute(f"pragma schema_version = {version + 1}")
    with closing(sqlite3.connect(server.database)) as database:
        database.execute("reindex")
        assert database.execute("select count(*) from experiments where name = 'DEFAULT'").fetchone() == (1,)


@pytest.fixture(scope="module")
def cased(servers: Servers) -> MlflowServer:
    """A source with names and keys that differ in case only, each in an object of its own."""
    server = servers.start()
    client = _client(server)
    for name in ("Alpha", "alpha"):
        client.create_experiment(name)
        client.create_registered_model(name)
        client.create_model_version(name, "s3://bucket/x")
    client.create_registered_model("with aliases")
    for number, alias in enumerate(("Live", "live"), 1):
        client.create_model_version("with aliases", f"s3://bucket/{number}")
        client.set_registered_model_alias("with aliases", alias, str(number))
    home = client.create_experiment("home")
    for name in ("params", "tags", "metrics", "plain"):
        run_id = client.create_run(home, run_name=name).info.run_id
        if name == "params":
            client.log_batch(run_id, params=[Param("Lr", "1"), Param("lr", "2")])
        if name == "tags":
            client.log_batch(run_id, tags=[RunTag("Team", "a"), RunTag("team", "b")])
        if name == "metrics":
            client.log_metric(run_id, "Loss", 1.0)
            client.log_metric(run_id, "loss", 2.0)
        client.set_terminated(run_id)
    return server


def test_a_database_that_minds_case_gets_everything(
    cased: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    report = migrated(cased, fresh_server(), tmp_path)
    assert (report.failures, report.left_behind, report.exit_code) == ((), (), 0)


def test_a_database_without_case_merges_nothing(cased: MlflowServer, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    _without_case(destination)
    report = migrated(cased, destination, tmp_path)
    failures = {failure.name: failure for failure in report.failures if failure.kind in ("experiment", "run")}
    # Whichever came second fails.
    (twin,) = failures.keys() - {"params", "tags", "metrics"}
    assert failures[twin].cause == "name taken"
    assert "--experiment-rename-file" in failures[twin].error
    for name, pair in (("params", "'Lr' and 'lr'"), ("tags", "'Team' and 'team'"), ("metrics", "'Loss' and 'loss'")):
        assert failures[name].cause == "keys differ in case"
        assert f"The {name} {pair} are one for the destination" in failures[name].error
    (model,) = (failure for failure in report.failures if failure.kind == "registered_model")
    assert (model.cause, "--model-rename-file" in model.error) == ("name taken", True)
    (left,) = report.left_behind
    assert (left.cause, left.first[0].name) == (Cause.LINK, "with aliases")
    after = read(destination.url)
    assert {one.name for one in after.experiments.values()} & {"Alpha", "alpha"} != {"Alpha", "alpha"}
    assert {run.info.run_name for run in after.runs.values()} == {"plain"}
    assert after.registered_models["with aliases"].aliases in ({"Live": "1"}, {"live": "2"})


def test_a_second_run_without_case_says_the_same_and_writes_nothing(
    cased: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    _without_case(destination)
    first = migrated(cased, destination, tmp_path)
    before = read(destination.url)
    again = migrated(cased, destination, tmp_path)
    assert _kinds(again.failures) == _kinds(first.failures)
    assert (moved(again), again.exit_code) == (0, first.exit_code)
    assert changes(before, read(destination.url)) == []
    with_names = {"alpha": "second alpha", "Alpha": "first alpha"}
    renamed = migrated(
        cased, destination, tmp_path / "renamed", experiment_renames=with_names, model_renames=with_names
    )
    assert {failure.kind for failure in renamed.failures} == {"run"}
