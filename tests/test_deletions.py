"""At a destination nothing is deleted but what a migration made itself, and what is gone or deleted at the source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from tests.support.faults.teller import Request, telling
from tests.support.migrating import changes, migrated, moved
from tests.support.oracle import read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.tenant.builder import Builder
from tests.support.verifying import told, verified


def test_nothing_else_is_deleted_in_one_migration_or_many(
    servers: Servers, small_server: MlflowServer, small_tenant: Tenant, tmp_path: Path
) -> None:
    with (
        servers.copy(small_server) as source,
        servers.start() as server,
        Builder(server.url, tmp_path) as build,
        telling(server.url) as destination,
    ):
        _unrelated(build)
        client = MlflowClient(source.url, source.url)
        client.set_logged_model_tags(small_tenant.logged_models["net"], {"stage": "tests"})
        before = _unrelated_state(build.client)

        def deleted() -> list[str]:
            destination.seen.clear()
            settings = {"include_deleted": True, "source_id": "the source"}
            report = migrated(source, destination.url, tmp_path / "work", **settings)
            assert report.failures == ()
            return sorted(_deletion(request) for request in destination.seen if _deletes(request))

        first = deleted()
        there = _there(server)
        assert first == sorted(
            ["model-versions/delete small model 2", f"runs/delete {there[small_tenant.runs['deleted']]}"]
        )
        assert deleted() == []

        _change(client, small_tenant)
        run, model = there[small_tenant.runs["parent"]], there[small_tenant.logged_models["net"]]
        assert deleted() == sorted(
            [
                f"experiments/delete {there[small_tenant.experiments['empty']]}",
                f"experiments/delete-experiment-tag {there[small_tenant.experiments['plain']]} team",
                f"runs/delete {there[small_tenant.runs['other']]}",
                f"runs/delete-tag {run} colour",
                f"logged-models/{model}/tags/stage",
                "model-versions/delete-tag small model 3 number",
                "registered-models/alias small model live",
                "registered-models/delete-tag small model team",
            ]
        )
        assert deleted() == []
        assert _unrelated_state(build.client) == before


def test_the_runs_of_a_deleted_default_arrive_deleted_and_the_default_of_the_destination_stays(
    servers: Servers, tmp_path: Path
) -> None:
    with servers.start() as source, servers.start() as destination, Builder(source.url, tmp_path) as build:
        build.experiment("plain", "given up")
        build.experiments["default"] = "0"
        for label, experiment, status in (("old", "default", "FINISHED"), ("never ended", "plain", "RUNNING")):
            build.run(label, experiment, status=status)
        mine = MlflowClient(destination.url).create_run("0", run_name="mine").info.run_id
        for experiment in build.experiments.values():
            build.client.delete_experiment(experiment)
        report = migrated(source, destination, tmp_path / "work", include_deleted=True)
        assert (report.failures, report.exit_code) == ((), 0)
        told_of = {remark.what: remark.example for remark in report.remarks}
        assert "stays as it is; its runs arrive deleted" in told_of["Default is deleted at the source"]
        after = read(destination.url)
        assert after.experiments["0"].lifecycle_stage == "active"
        assert {run.info.run_name: run.info.lifecycle_stage for run in after.runs.values()} == {
            "old": "deleted",
            "never ended": "deleted",
            "mine": "active",
        }
        assert told(verified(source, destination, include_deleted=True)) == []

        # Nothing is written again: to a deleted run that never ended, nothing can be added.
        again = migrated(source, destination, tmp_path / "work", include_deleted=True)
        assert (moved(again), again.changed, again.exit_code) == (0, (), 0)
        assert changes(after, read(destination.url)) == []
        assert mine in after.runs


def _deletes(request: Request) -> bool:
    return request.method == "DELETE" or "delete" in request.path


def _deletion(request: Request) -> str:
    body = json.loads(request.body) if request.body else {}
    route = request.path.removeprefix("/api/2.0/mlflow/")
    return " ".join([route, *(str(value) for value in body.values())])


def _unrelated(build: Builder) -> None:
    """What somebody else has at the destination, beside and inside of what the migration will bring."""
    build.experiment("plain", "somebody else's", owner="somebody")
    build.run("mine", tags={"colour": "red"})
    build.put("mine", "mine.txt", b"mine")
    build.client.set_experiment_tag("0", "owner", "somebody")
    build.run("in Default", "plain")
    build.client.create_registered_model("somebody else's", {"owner": "somebody"})
    for _ in range(3):
        build.client.create_model_version("somebody else's", "s3://bucket/mine", tags={"number": "mine"})
    build.client.delete_model_version("somebody else's", "2")
    build.client.set_registered_model_alias("somebody else's", "live", "3")


def _unrelated_state(client: MlflowClient) -> list[Any]:
    (experiment,) = client.search_experiments(filter_string="name LIKE 'somebody else%'")
    runs = client.search_runs([experiment.experiment_id])
    model = client.get_registered_model("somebody else's")
    versions = client.search_model_versions('name = "somebody else\'s"')
    files = [client.list_artifacts(run.info.run_id) for run in runs]
    return [
        dict(experiment),
        [run.to_dictionary() for run in runs],
        [[dict(file) for file in found] for found in files],
        [dict(model), [dict(version) for version in versions]],
        client.get_experiment("0").tags["owner"],
    ]


def _there(server: MlflowServer) -> dict[str, str]:
    """Which id of the source became which at the destination."""
    found = read(server.url)
    tagged = [
        *((one.tags.get("bulkexim.source.experiment_id"), key) for key, one in found.experiments.items()),
        *((one.data.tags.get("bulkexim.source.run_id"), key) for key, one in found.runs.items()),
        *((one.tags.get("bulkexim.source.model_id"), key) for key, one in found.logged_models.items()),
    ]
    return {old: new for old, new in tagged if old}


def _change(client: MlflowClient, tenant: Tenant) -> None:
    """Takes away, at the source, one of everything that can be taken away."""
    client.delete_tag(tenant.runs["parent"], "colour")
    client.delete_run(tenant.runs["other"])
    client.delete_experiment(tenant.experiments["empty"])
    client.delete_experiment_tag(tenant.experiments["plain"], "team")
    client.delete_logged_model_tag(tenant.logged_models["net"], "stage")
    client.delete_registered_model_alias("small model", "live")
    client.delete_registered_model_tag("small model", "team")
    client.delete_model_version_tag("small model", "3", "number")
    client.delete_model_version("small model", "1")
