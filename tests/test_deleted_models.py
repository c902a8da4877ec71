"""Runs and logged models that are deleted at the source and come because a version points to them, with their links."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from mlflow.entities import LoggedModelOutput

from bulkexim import Endpoint, Settings
from bulkexim.engine.migration import ends
from bulkexim.engine.repair import Wrong, mark_for_repair
from bulkexim.ids import SourceId
from tests.support.migrating import left_behind, migrated, moved
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import Builder
from tests.support.verifying import told, verified

LOGGED_MODELS = "select name, lifecycle_stage, count(*) from logged_models group by 1, 2 order by 1"
ALL = [("beside", "active", 1), ("named", "deleted", 1), ("of deleted run", "active", 1), ("output", "deleted", 1)]
SOURCE_RUNS = (
    "select l.name, r.name, r.lifecycle_stage from logged_models l join runs r on r.run_uuid = l.source_run_id"
    " order by 1"
)
#: Versions with the logged model to which each points.
POINTS_TO = "select v.name, l.name from model_versions v join logged_models l on v.source = 'models:/' || l.model_id"
OUTPUTS = (
    "select r.name, l.name from inputs i join runs r on r.run_uuid = i.source_id join logged_models l on l.model_id"
)
OUTPUTS += " = i.destination_id"
PARENTS = (
    "select c.name, p.name from tags t join runs c on c.run_uuid = t.run_uuid join runs p on p.run_uuid = t.value"
    " where t.key = 'mlflow.parentRunId'"
)


@pytest.fixture(scope="module")
def build(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Four logged models, each registered; two are deleted, of which a run names one, and the run of another is."""
    build = Builder(servers.start().url, tmp_path_factory.mktemp("scratch"))
    build.experiment("plain", "plain")
    for label in ("active", "deleted", "writer"):
        build.run(label)
    build.run("child", parent="deleted")
    for label, run in (("beside", "active"), ("of deleted run", "deleted"), ("named", "active"), ("output", "writer")):
        made = build.client.create_logged_model(build.experiments["plain"], label, build.runs[run]).model_id
        build.client.finalize_logged_model(made, "READY")
        build.client.create_registered_model(label)
        build.client.create_model_version(label, f"models:/{made}", build.runs[run], model_id=made)
        build.logged_models[label] = made
    build.client.log_outputs(build.runs["writer"], [LoggedModelOutput(build.logged_models["output"], 3)])
    build.deleted_runs.add("deleted")
    build.delete()
    for label in ("named", "output"):
        build.client.delete_logged_model(build.logged_models[label])
    return build


def _rows(server: MlflowServer, sql: str) -> list[Any]:
    with closing(sqlite3.connect(server.database)) as store:
        return store.execute(sql).fetchall()


@pytest.mark.parametrize(
    "settings", [{}, {"models": ("*",)}, {"include_deleted": True}], ids=["everything", "models", "include deleted"]
)
def test_every_link_is_there_after_one_run(
    build: Builder, servers: Servers, tmp_path: Path, settings: dict[str, Any]
) -> None:
    server = servers.start()
    report = migrated(build.url, server, tmp_path, **settings)
    assert (left_behind(report), report.changed, report.exit_code) == ([], (), 0)
    assert _rows(server, LOGGED_MODELS) == ALL
    assert _rows(server, SOURCE_RUNS) == [
        ("beside", "active", "active"),
        ("named", "active", "active"),
        ("of deleted run", "deleted", "deleted"),
        ("output", "writer", "active"),
    ]
    assert sorted(_rows(server, POINTS_TO)) == [(name, name) for name, *_ in ALL]
    assert ("writer", "output") in _rows(server, OUTPUTS)
    if "models" not in settings:
        assert _rows(server, PARENTS) == [("child", "deleted")]
    assert told(verified(build.url, server, **settings)) == []
    assert moved(migrated(build.url, server, tmp_path, **settings)) == 0
    # Without a ledger the deleted ones are found by the versions that point to them.
    assert migrated(build.url, server, tmp_path / "other", **settings).exit_code == 0
    assert _rows(server, LOGGED_MODELS) == ALL
    server.stop()


def test_a_repair_makes_no_deleted_model_again_that_stands_there(
    build: Builder, servers: Servers, tmp_path: Path
) -> None:
    server = servers.start()
    assert migrated(build.url, server, tmp_path).exit_code == 0
    wrong = Wrong(missing={"logged_model": [SourceId(build.logged_models["named"])]})
    settings = Settings(work_dir=tmp_path)

    async def mark() -> None:
        async with ends(Endpoint(uri=build.url), Endpoint(uri=server.url), settings, ()) as both:
            await mark_for_repair(both, settings, wrong)

    anyio.run(mark)
    assert moved(migrated(build.url, server, tmp_path)) == 0
    assert _rows(server, LOGGED_MODELS) == ALL
    # What nothing at the destination names cannot be called missing.
    with closing(sqlite3.connect(server.database)) as store, store:
        store.execute("update model_versions set source = 's3://bucket/x' where name = 'named'")
    [line] = [line for line in told(verified(build.url, server)) if line.startswith("logged_model")]
    assert line.startswith("logged_model named not comparable it is deleted, and nothing at the destination names it")
    server.stop()


def test_a_source_run_that_comes_after_its_logged_model_is_told_for_the_link_is_lost(
    build: Builder, servers: Servers, tmp_path: Path
) -> None:
    server = servers.start()
    migrated(build.url, server, tmp_path, without=("registered_model",))
    assert _rows(server, SOURCE_RUNS) == [("beside", "active", "active")]
    report = migrated(build.url, server, tmp_path)
    lost = ("link", f"source run {build.runs['deleted']}: it came after this logged model")
    assert (left_behind(report), report.exit_code) == ([lost], 3)
    [line] = told(verified(build.url, server, work_dir=tmp_path))
    assert line.startswith("logged_model of deleted run differs run")
    assert told(verified(build.url, server, work_dir=tmp_path, accept=("link",))) == []
    server.stop()
