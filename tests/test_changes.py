"""What changes at the source after a migration arrives with the next one; what was there keeps its ids."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag

from tests.support.migrating import changes, migrated
from tests.support.oracle import Snapshot, compare, read
from tests.support.servers import Servers
from tests.support.tenant.builder import START, Builder
from tests.support.tenant.small import build_small


class Changing:
    """A small tenant of the test's own, moved once."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.source, self.destination = servers.start(), servers.start()
        self.folder = folder
        scratch = folder / "scratch"
        scratch.mkdir()
        self.build = Builder(self.source.url, scratch)
        build_small(self.build)
        _more(self.build)
        self.build.delete()
        self.client: MlflowClient = self.build.client
        self.again()
        self.before = read(self.destination.url)

    def again(self) -> None:
        """Moves everything that is missing or changed."""
        report = migrated(self.source, self.destination, self.folder / "work", include_deleted=True)
        assert (report.failures, report.exit_code) == ((), 0)

    def arrived(self) -> Snapshot:
        """Moves again, checks that both ends are equal and that nothing got another id; returns the destination."""
        self.again()
        after = read(self.destination.url)
        assert compare(self.source.url, after, include_deleted=True) == []
        assert self.before.experiments.keys() <= after.experiments.keys()
        assert self.before.runs.keys() <= after.runs.keys()
        assert self.before.logged_models.keys() <= after.logged_models.keys()
        self.before = after
        return after


def _more(build: Builder) -> None:
    build.run("running", status="RUNNING", tags={"colour": "red"})
    build.run("pending", status="SCHEDULED")
    build.client.set_tag(build.runs["parent"], "blank", "")
    build.experiment("moody", "moody", mood="good", weather="fine", blank="")
    build.run("moody", "moody")
    build.client.set_registered_model_tag("small model", "gone soon", "yes")
    build.client.set_registered_model_alias("small model", "gone-soon", "1")
    build.client.set_model_version_tag("small model", "3", "gone soon", "yes")


@pytest.fixture(scope="module")
def changing(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Changing:
    """Each test changes something else of it."""
    return Changing(servers, tmp_path_factory.mktemp("changing"))


def test_new_objects_arrive(changing: Changing) -> None:
    build, client = changing.build, changing.client
    build.experiment("new", "new experiment")
    run_id = build.run("new", "new", parent="parent")
    client.log_metric(run_id, "loss", 0.1, START, 1)
    build.put("new", "new.txt", b"new")
    build.run("new in old")
    client.create_registered_model("new model")
    client.create_model_version("new model", f"runs:/{run_id}/model", run_id)
    client.create_model_version("small model", "s3://bucket/y")
    after = changing.arrived()
    assert ("small model", 4) in after.versions


def test_what_is_added_to_a_run_arrives(changing: Changing) -> None:
    build, client = changing.build, changing.client
    run_id = build.runs["other"]
    points = [Metric("loss", 9.0, START + 10, 10), Metric("new metric", 1.0, START, 0)]
    client.update_run(run_id, name="another name")
    client.log_batch(run_id, points, [Param("late", "yes")], [RunTag("new", "yes"), RunTag("empty", "")])
    changing.arrived()


def test_a_tag_that_was_removed_goes(changing: Changing) -> None:
    build, client = changing.build, changing.client
    for key in ("colour", "blank"):
        client.delete_tag(build.runs["parent"], key)
    for key in ("weather", "blank"):
        client.delete_experiment_tag(build.experiments["moody"], key)
    client.set_experiment_tag(build.experiments["moody"], "mood", "bad")
    client.delete_registered_model_tag("small model", "gone soon")
    client.set_registered_model_tag("small model", "team", "others")
    client.delete_model_version_tag("small model", "3", "gone soon")
    client.set_model_version_tag("small model", "3", "number", "three")
    changing.arrived()


def test_of_a_long_tag_that_became_short_no_copy_stays(changing: Changing) -> None:
    def copies(tags: Mapping[str, str]) -> list[str]:
        return [key for key in tags if key.startswith("bulkexim.long.")]

    client = changing.client
    client.set_registered_model_tag("small model", "notes", "n" * 6000)
    client.set_model_version_tag("small model", "3", "notes", "n" * 99_000)
    client.update_model_version("small model", "3", "d" * 6000)
    after = changing.arrived()
    assert len(copies(after.registered_models["small model"].tags)) == 2
    assert len(copies(after.versions["small model", 3].tags)) == 2
    client.set_registered_model_tag("small model", "notes", "short")
    client.update_model_version("small model", "3", "short")
    after = changing.arrived()
    assert copies(after.registered_models["small model"].tags) == []
    assert copies(after.versions["small model", 3].tags) == []


def test_a_run_that_was_deleted_or_restored_follows(changing: Changing) -> None:
    build, client = changing.build, changing.client
    client.delete_run(build.runs["child"])
    client.restore_run(build.runs["deleted"])
    client.log_metric(build.runs["deleted"], "loss", 0.01, START + 99, 99)
    changing.arrived()
    client.restore_run(build.runs["child"])
    client.delete_run(build.runs["deleted"])
    changing.arrived()


def test_an_experiment_that_was_renamed_or_deleted_follows(changing: Changing) -> None:
    build, client = changing.build, changing.client
    client.rename_experiment(build.experiments["moody"], "cheerful")
    for label in ("empty", "moody"):
        client.delete_experiment(build.experiments[label])
    changing.arrived()
    for label in ("empty", "moody"):
        client.restore_experiment(build.experiments[label])
    changing.arrived()


def test_aliases_stages_and_descriptions_follow(changing: Changing) -> None:
    build, client = changing.build, changing.client
    client.set_registered_model_alias("small model", "live", "1")
    client.delete_registered_model_alias("small model", "gone-soon")
    client.update_registered_model("small model", "another description")
    client.update_model_version("small model", "1", "described at last")
    for stage in ("Production", "None"):
        body = {"name": "small model", "version": "3", "stage": stage, "archive_existing_versions": False}
        build.rest("POST", "2.0/mlflow/model-versions/transition-stage", body)
        changing.arrived()


def test_a_logged_model_that_is_added_to_an_old_run_arrives(changing: Changing) -> None:
    build, client = changing.build, changing.client
    run_id = build.runs["parent"]
    model = client.create_logged_model(build.experiments["plain"], "second net", run_id)
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 3)])
    client.log_batch(run_id, [Metric("accuracy", 0.95, START + 1, 1, model.model_id)])
    client.finalize_logged_model(model.model_id, "READY")
    after = changing.arrived()
    assert len(after.logged_models) == 2


def test_a_logged_model_that_changed_follows(changing: Changing) -> None:
    build, client = changing.build, changing.client
    model_id = build.logged_models["net"]
    client.set_logged_model_tags(model_id, {"reviewed": "yes", "so what?": ""})
    client.log_batch(build.runs["parent"], [Metric("accuracy", 0.91, START + 2, 2, model_id)])
    changing.arrived()
    for key in ("reviewed", "so%20what%3F"):  # the client does not quote keys
        build.rest("DELETE", f"2.0/mlflow/logged-models/{model_id}/tags/{key}", {})
    changing.arrived()


def test_files_that_are_added_to_a_running_run_arrive(changing: Changing) -> None:
    build, client = changing.build, changing.client
    build.put("running", "later/log.txt", b"first line")
    changing.arrived()
    build.put("running", "later/log.txt", b"first line, second line")
    build.put("running", "summary.txt", b"done")
    client.set_terminated(build.runs["running"], end_time=START + 70_000)
    changing.arrived()


def test_nothing_is_written_when_nothing_changed(changing: Changing) -> None:
    changing.again()
    before = read(changing.destination.url)
    changing.again()
    assert changes(before, read(changing.destination.url)) == []


def test_a_later_migration_without_artifacts_leaves_those_that_are_there(servers: Servers, tmp_path: Path) -> None:
    changing = Changing(servers, tmp_path)
    report = migrated(changing.source, changing.destination, tmp_path / "work", include_deleted=True, artifacts=False)
    assert report.exit_code == 0
    assert compare(changing.source.url, changing.destination.url, include_deleted=True) == []
