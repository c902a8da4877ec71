"""Servers of MLflow 1.30 to 2.14 and older file stores as sources: everything arrives, once, in the right order."""

from __future__ import annotations

import math
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric

from bulkexim.config import Endpoint
from bulkexim.ends.server import connected
from bulkexim.kinds.history import BULK
from tests.conftest import StartServer
from tests.support.faults.teller import Forward, Request, telling
from tests.support.faults.wire import Reply
from tests.support.migrating import changes, left_behind, migrated, moved
from tests.support.old_mlflow import Ancient, OldTenants, build
from tests.support.oracle import compare, read
from tests.support.servers import MlflowServer
from tests.support.verifying import told, verified

FindPython = Callable[[str], str]

#: Versions of which a server is tried, each where its interpreter is given.
OLD = ("1.30", "2.0", "2.1", "2.9", "2.14")
#: The oldest version that each can be by its routes.
LOWEST = {
    "1.30": (1, 28),
    "2.0": (1, 28),
    "2.1": (1, 28),
    "2.9": (2, 3),
    "2.14": (2, 11),
    "2.22": (2, 11),
    "3.1": (3, 0),
    "3.4": (3, 4),
}
NO_ROUTE = Reply(404, [(b"content-type", b"text/html")], b"<html>Not Found</html>")


@pytest.mark.parametrize("version", OLD)
def test_all_that_an_old_server_holds_arrives_once(
    version: str, mlflow_python: FindPython, old_tenants: OldTenants, fresh_server: StartServer, tmp_path: Path
) -> None:
    source = old_tenants.of(mlflow_python(version))
    destination = fresh_server()
    report = migrated(source.url, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert compare(source.url, after, include_deleted=True) == []
    assert told(verified(source.url, destination, include_deleted=True)) == []
    again = migrated(source.url, destination, tmp_path, include_deleted=True)
    assert (moved(again), again.exit_code) == (0, 0)
    assert changes(after, read(destination.url)) == []


async def _without_version(request: Request, forward: Forward) -> Reply:
    return NO_ROUTE if request.path == "/version" else await forward()


@pytest.mark.anyio
@pytest.mark.parametrize("version", LOWEST)
async def test_the_routes_of_a_server_tell_its_version(
    version: str, mlflow_python: FindPython, old_tenants: OldTenants, fresh_server: StartServer
) -> None:
    python = mlflow_python(version)
    server = old_tenants.of(python).server if version in OLD else fresh_server(python=python)
    assert server is not None
    with telling(server.url, _without_version) as quiet:
        async with connected(Endpoint(uri=quiet.url), "source") as source:
            guess = source.capabilities
    # Of the sign that it gives, and not above the truth: then all that is used is there.
    assert guess.version == LOWEST[version] <= tuple(map(int, version.split(".")))
    assert guess.guessed
    assert guess.database
    assert not guess.file_store


@pytest.mark.anyio
async def test_a_new_server_that_does_not_tell_its_version_is_taken_for_the_oldest_that_it_can_be(
    fresh_server: StartServer,
) -> None:
    with telling(fresh_server().url, _without_version) as quiet:
        async with connected(Endpoint(uri=quiet.url), "source") as source:
            guess = source.capabilities
    assert (guess.version, guess.text, guess.guessed) == ((3, 15), "3.15 or newer", True)


def test_a_version_that_was_guessed_is_told(
    mlflow_python: FindPython, old_tenants: OldTenants, fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = old_tenants.of(mlflow_python("2.9")), fresh_server()
    with telling(source.url, _without_version) as quiet:
        report = migrated(quiet.url, destination, tmp_path, experiments=("empty",))
    by_routes = "by its routes it is 2.3 to 2.10, and it is used as the oldest of these."
    assert report.warnings == (f"The source does not say which MLflow it is; {by_routes}",)


def test_histories_come_for_twenty_runs_at_once_before_mlflow_2_11(
    mlflow_python: FindPython, old_tenants: OldTenants, fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = old_tenants.of(mlflow_python("2.9")), fresh_server()
    with telling(source.url) as server:
        report = migrated(server.url, destination, tmp_path, experiments=("training",))
    assert report.exit_code == 0
    child = source.runs["child"]
    asked = Counter(
        request.path.rpartition("/")[2]
        for request in server.seen
        if "0" * 32 not in request.target and not ("get-history?" in request.target and child in request.target)
    )
    # 30 active runs with three short metrics: two calls for each metric. One call for each of two more metrics of one
    # run. The child's metrics are not counted: they come by themselves only where its parent was not there before it.
    assert (asked[BULK.rpartition("/")[2]], asked["get-history"]) == (6, 2)


def test_runs_are_found_where_a_list_of_ids_is_not_understood(
    mlflow_python: FindPython, old_tenants: OldTenants, fresh_server: StartServer, tmp_path: Path
) -> None:
    """As MLflow before 2.3 answers where its sqlparse is newer than 0.4.3."""

    async def simple(request: Request, forward: Forward) -> Reply:
        if request.path.endswith("runs/search") and b" IN (" in request.body:
            text = b'{"error_code": "INVALID_PARAMETER_VALUE", "message": "Invalid clause(s) in filter string: IN"}'
            return Reply(400, [(b"content-type", b"application/json")], text)
        return await forward()

    source, destination = old_tenants.of(mlflow_python("2.9")), fresh_server()
    with telling(source.url, simple) as server:
        report = migrated(server.url, destination, tmp_path, models=("a few",))
    assert (report.failures, report.exit_code) == ((), 0)
    there = read(destination.url)
    assert {run.data.params["label"] for run in there.runs.values()} == {"of default", "deleted", "metrics"}
    assert sorted(there.versions) == [("a few", 1), ("a few", 2), ("a few", 3)]


@pytest.fixture(scope="module")
def store_of_mlflow_1(tmp_path_factory: pytest.TempPathFactory) -> Ancient:
    """A file store as a client of MLflow 1 leaves it: what it deletes goes to another folder, and stays as it is."""
    folder = tmp_path_factory.mktemp("mlflow1") / "mlruns"
    made = build(sys.executable, folder.as_uri(), registry=False)
    for described in (folder / ".trash").glob("**/meta.yaml"):
        text = described.read_text(encoding="utf-8")
        described.write_text(text.replace("lifecycle_stage: deleted", "lifecycle_stage: active"), encoding="utf-8")
    return replace(made, url=str(folder))


@pytest.mark.parametrize("include_deleted", [True, False])
def test_what_mlflow_1_deleted_in_a_file_store_stays_deleted(
    store_of_mlflow_1: Ancient, fresh_server: StartServer, tmp_path: Path, *, include_deleted: bool
) -> None:
    source, destination = fresh_server(store=Path(store_of_mlflow_1.url)), fresh_server()
    report = migrated(source, destination, tmp_path, include_deleted=include_deleted)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    names = {one.name: one.lifecycle_stage for one in after.experiments.values()}
    gone = {"given up": "deleted"} if include_deleted else {}
    assert names == {"Default": "active", "training": "active", "empty": "active"} | gone
    deleted = {run.data.params["label"] for run in after.runs.values() if run.info.lifecycle_stage == "deleted"}
    assert deleted == ({"deleted", "given up", "never ended"} if include_deleted else set())
    assert len(after.runs) == len(store_of_mlflow_1.runs) - (0 if include_deleted else 3)
    assert told(verified(source, destination, include_deleted=include_deleted)) == []
    again = migrated(source, destination, tmp_path, include_deleted=include_deleted)
    assert (moved(again), again.exit_code) == (0, 0)
    assert changes(after, read(destination.url)) == []


@pytest.mark.parametrize("version", OLD)
def test_a_file_store_arrives_from_its_own_server(
    version: str, mlflow_python: FindPython, fresh_server: StartServer, tmp_path: Path
) -> None:
    """With no registry in MLflow 1, and with deleted experiments that say that they are active up to 2.1."""
    python, folder = mlflow_python(version), tmp_path / "mlruns"
    made = build(python, folder.as_uri(), registry=version != "1.30")
    source, destination = fresh_server(python=python, store=folder), fresh_server()
    report = migrated(source, destination, tmp_path / "work", include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert len(after.runs) == len(made.runs)
    deleted = {run.data.params["label"] for run in after.runs.values() if run.info.lifecycle_stage == "deleted"}
    assert deleted == {"deleted", "given up", "never ended"}
    assert len(after.versions) == (0 if version == "1.30" else 18)
    assert told(verified(source, destination, include_deleted=True)) == []
    again = migrated(source, destination, tmp_path / "work", include_deleted=True)
    assert (moved(again), again.exit_code) == (0, 0)
    assert changes(after, read(destination.url)) == []


def test_an_infinity_that_was_measured_on_a_logged_model_of_a_file_store_stays_linked(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(store=tmp_path / "mlruns"), fresh_server()
    client = MlflowClient(source.url, source.url)
    run_id = client.create_run("0").info.run_id
    model = client.create_logged_model("0", "net", run_id)
    values = {"up": math.inf, "down": -math.inf, "not a number": math.nan, "plain": 0.5}
    client.log_batch(run_id, [Metric(key, value, 1000, 1, model.model_id) for key, value in values.items()])
    client.finalize_logged_model(model.model_id, "READY")
    report = migrated(source, destination, tmp_path / "work")
    assert (report.failures, report.exit_code) == ((), 0)
    (arrived,) = read(destination.url).logged_models.values()
    assert {metric.key for metric in arrived.metrics or ()} == set(values)
    assert told(verified(source, destination)) == []


def test_a_deleted_logged_model_that_the_destination_cannot_show_is_not_called_missing(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    """As MLflow 3.0 to 3.6 answers."""

    async def as_3_4(request: Request, forward: Forward) -> Reply:
        if request.path == "/version":
            return Reply(200, [(b"content-type", b"text/plain")], b"3.4.0")
        if "allow_deleted" in request.target:
            text = b'{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "Logged model not found."}'
            return Reply(404, [(b"content-type", b"application/json")], text)
        return await forward()

    source, destination = fresh_server(), fresh_server()
    client = MlflowClient(source.url, source.url)
    run_id = client.create_run("0").info.run_id
    kept, dropped = (client.create_logged_model("0", name, run_id) for name in ("kept", "dropped"))
    client.log_outputs(run_id, [LoggedModelOutput(kept.model_id, 1), LoggedModelOutput(dropped.model_id, 1)])
    for model in (kept, dropped):
        client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run_id)
    client.delete_logged_model(dropped.model_id)
    with telling(destination.url, as_3_4) as older:
        report = migrated(source, older.url, tmp_path, include_deleted=True)
        assert (report.failures, report.exit_code) == ((), 0)
        found = verified(source, older.url, include_deleted=True)
    assert told(found) == ["logged_model dropped not comparable MLflow before 3.7 shows no deleted logged model"]
    assert found.exit_code == 3


def rows(server: MlflowServer) -> list[str]:
    """All that the database of a server holds."""
    with closing(sqlite3.connect(server.database)) as database:
        return sorted(database.iterdump())


def test_a_destination_of_mlflow_3_4_is_complete_after_one_run_and_tells_what_it_cannot_hold(
    mlflow_python: FindPython, fresh_server: StartServer, tmp_path: Path
) -> None:
    """It shows no deleted logged model, and links a NaN to one logged model only."""
    source, destination = fresh_server(), fresh_server(python=mlflow_python("3.4"))
    client = MlflowClient(source.url, source.url)
    run_id = client.create_run("0").info.run_id
    models = [client.create_logged_model("0", name, run_id) for name in ("one", "other", "dropped")]
    one, other, dropped = models
    points = [Metric("loss", math.nan, 1000, 1, model.model_id) for model in (one, other)]
    client.log_batch(run_id, [*points, Metric("loss", 0.5, 2000, 2, one.model_id)])
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 1) for model in models])
    for model in models:
        client.finalize_logged_model(model.model_id, "READY")
    client.set_terminated(run_id)
    client.delete_logged_model(dropped.model_id)
    first = migrated(source, destination, tmp_path, include_deleted=True)
    assert first.failures == ()
    before = rows(destination)
    second = migrated(source, destination, tmp_path, include_deleted=True)
    assert (second.failures, moved(second)) == ((), 0)
    assert left_behind(second) == left_behind(first)
    assert rows(destination) == before
    ((cause, detail),) = left_behind(first)
    assert (cause, first.exit_code) == ("link", 3)
    assert "loss at step 1" in detail and detail.endswith("MLflow before 3.16 links a NaN to one logged model only")
    found = verified(source, destination, include_deleted=True, work_dir=tmp_path)
    unlinked, deleted = told(found)
    # Moving them again would bring nothing, so no repair is advised.
    assert found.mendable == 0
    assert deleted == "logged_model dropped not comparable MLflow before 3.7 shows no deleted logged model"
    assert re.match(r"logged_model (one|other) differs metrics / loss of run \w+ / step 1", unlinked)
