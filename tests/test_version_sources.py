"""What becomes of the sources of versions: kept where the destination takes them, replaced only where it refuses them.

The odd ones are written into the source's database: today's MLflow takes few of them, older ones took them all.
"""

import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from bulkexim import Report
from bulkexim.kinds.version_source import GONE
from bulkexim.kinds.version_values import target
from tests.conftest import StartServer
from tests.support.migrating import changes, left_behind, migrated, moved
from tests.support.oracle import read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import NO_RUN, Builder
from tests.support.verifying import told, verified

NO_MODEL = "m-" + NO_RUN
ABFSS = "abfss://container@account.dfs.core.windows.net/model"
S3_OF_A_RUN = f"s3://bucket/1/{NO_RUN}/artifacts/model"


@dataclass
class Odd:
    """A source with a version for each case, in an order in which each later one needs the number of those before."""

    server: MlflowServer
    runs: Mapping[str, str]
    #: Number, source and run of each version of the model "odd", by a word for the case.
    versions: dict[str, tuple[int, str, str]]


def _build(server: MlflowServer, scratch: Path) -> Odd:
    build = Builder(server.url, scratch)
    build.experiment("plain", "plain")
    first, second = build.run("first"), build.run("second")
    for label in ("first", "second"):
        build.put(label, "model/weights.bin", label.encode())
    route = f"{server.url}/api/2.0/mlflow-artifacts/artifacts/shared/model/weights.bin"
    httpx.put(route, content=b"shared", trust_env=False).raise_for_status()
    build.client.create_registered_model("origin")
    build.client.create_model_version("origin", f"runs:/{first}/model", first)
    build.client.set_registered_model_alias("origin", "champion", "1")
    staged = {"name": "origin", "version": "1", "stage": "Production", "archive_existing_versions": False}
    build.rest("POST", "2.0/mlflow/model-versions/transition-stage", staged)
    build.client.create_registered_model("odd")
    cases = {
        "storage of a run that is not here": (S3_OF_A_RUN, ""),
        "storage and run that are not here": (S3_OF_A_RUN, NO_RUN),
        "abfss": (ABFSS, first),
        "oss": ("oss://bucket/model", ""),
        "wasb": ("wasb://container@account.blob.core.windows.net/model", ""),
        "file": ("/data/model", ""),
        "run that is not here": (f"runs:/{NO_RUN}/model", ""),
        "run without its id": (f"runs:/{first}/model", ""),
        "run with another id": (f"runs:/{first}/model", second),
        "folder of a run without its id": (build.client.get_run(first).info.artifact_uri + "/model", ""),
        "version of another run": ("models:/origin/1", second),
        "version without a run": ("models:/origin/1", ""),
        "version that is not here": ("models:/nobody/7", first),
        "logged model that is not here": (f"models:/{NO_MODEL}", ""),
        "place of the artifact service": ("mlflow-artifacts:/shared/model", ""),
        "empty place of the artifact service": (f"mlflow-artifacts:/1/{NO_RUN}/artifacts/model", ""),
        "plain": ("s3://bucket/plain", second),
        "stage": ("models:/origin/Production", first),
        "alias": ("models:/origin@champion", first),
        "latest": ("models:/origin/latest", first),
        "latest of its own model": ("models:/odd/latest", first),
        "stage that no version has": ("models:/origin/Staging", first),
        "last": (f"runs:/{first}/model", first),
    }
    versions = {}
    for number, (case, (source, run)) in enumerate(cases.items(), 1):
        build.client.create_model_version("odd", "s3://bucket/any")
        versions[case] = number, source, run
    with closing(sqlite3.connect(server.database)) as database:
        for number, source, run in versions.values():
            change = (
                "update model_versions set source = ?, storage_location = ?, run_id = ? where (name, version) = (?, ?)"
            )
            database.execute(change, (source, source, run, "odd", number))
        database.commit()
    return Odd(server, build.runs, versions)


@pytest.fixture(scope="module")
def odd(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Odd:
    return _build(servers.start(), tmp_path_factory.mktemp("scratch"))


@dataclass
class Arrived:
    """A destination, and how the migration to it ended."""

    odd: Odd
    server: MlflowServer
    work_dir: Path
    report: Report

    def version(self, case: str) -> ModelVersion:
        number, *_ = self.odd.versions[case]
        return MlflowClient(self.server.url, self.server.url).get_model_version("odd", str(number))

    def run(self, label: str) -> str:
        """Return the id that a run got."""
        client = MlflowClient(self.server.url, self.server.url)
        query = f"tags.`bulkexim.source.run_id` = '{self.odd.runs[label]}'"
        experiment = client.get_experiment_by_name("plain")
        assert experiment
        return str(client.search_runs([experiment.experiment_id], query)[0].info.run_id)

    def pair(self, case: str) -> tuple[str, str]:
        found = self.version(case)
        return str(found.source), found.run_id or ""

    @property
    def behind(self) -> list[str]:
        """What stays behind, each beginning with the source of its version."""
        return sorted(one.detail for group in self.report.left_behind for one in group.first)


def _arrived(odd: Odd, server: MlflowServer, work_dir: Path) -> Arrived:
    return Arrived(odd, server, work_dir, migrated(odd.server, server, work_dir))


@pytest.fixture(scope="module")
def new(odd: Odd, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Arrived:
    """The MLflow of today."""
    return _arrived(odd, servers.start(), tmp_path_factory.mktemp("new"))


@pytest.fixture(scope="module")
def old(odd: Odd, servers: Servers, old_python: str, tmp_path_factory: pytest.TempPathFactory) -> Arrived:
    """MLflow 2.22."""
    return _arrived(odd, servers.start(python=old_python), tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module", params=["new", "old"])
def either(request: pytest.FixtureRequest) -> Arrived:
    found: Arrived = request.getfixturevalue(request.param)
    return found


def test_every_version_has_its_number(either: Arrived) -> None:
    assert either.report.failures == ()
    assert len(read(either.server.url).versions) == len(either.odd.versions) + 1
    assert either.pair("plain") == ("s3://bucket/plain", either.run("second"))


def test_storage_outside_stays_as_it_is(either: Arrived) -> None:
    """No run is invented, and none is lost, because an address looks like that of a run."""
    assert either.pair("storage of a run that is not here") == (S3_OF_A_RUN, "")
    assert either.pair("storage and run that are not here") == (S3_OF_A_RUN, NO_RUN)
    for case in ("oss", "wasb"):
        assert either.pair(case) == either.odd.versions[case][1:]


def test_what_the_destination_refuses_leads_nowhere_and_is_told(new: Arrived) -> None:
    assert new.pair("abfss") == (GONE, new.run("first"))
    assert new.version("abfss").tags["bulkexim.source.source"] == ABFSS
    assert new.pair("file") == (GONE, "")
    # In an address of another kind what stands before the @ would be a secret.
    sources = ["/data/model", ABFSS.replace("container", "***"), "mlflow-artifacts:/shared/model"]
    assert [detail.partition(": ")[0] for detail in new.behind] == sources
    assert "'abfss' scheme" in new.behind[1]
    assert (new.report.exit_code, new.report.not_accepted) == (3, ("version-source",))


def test_what_the_destination_takes_is_not_replaced(old: Arrived) -> None:
    assert old.pair("abfss") == (ABFSS, old.run("first"))
    assert old.pair("run that is not here") == (f"runs:/{NO_RUN}/model", "")
    assert old.pair("place of the artifact service") == ("mlflow-artifacts:/shared/model", "")
    assert [detail.partition(": ")[0] for detail in old.behind] == ["/data/model", "mlflow-artifacts:/shared/model"]


def test_a_run_that_the_source_does_not_have_either_is_no_loss(either: Arrived) -> None:
    places = ("run that is not here", "empty place of the artifact service")
    for case in (*places, "version that is not here", "logged model that is not here"):
        assert not any(detail.startswith(either.odd.versions[case][1]) for detail in either.behind)
    assert "source of a version leads nowhere" in {remarked.what for remarked in either.report.remarks}
    assert either.pair("version that is not here") == (GONE, either.run("first"))


def test_a_version_that_another_one_names_by_stage_alias_or_as_the_latest_is_pointed_to(either: Arrived) -> None:
    for case in ("stage", "alias", "latest"):
        assert either.pair(case) == ("models:/origin/1", either.run("first"))
        assert either.version(case).tags["bulkexim.source.source"] == either.odd.versions[case][1]
    # One that comes later cannot be pointed to; its files can.
    assert either.pair("latest of its own model") == (f"runs:/{either.run('first')}/model", either.run("first"))
    told = {remarked.what: remarked.objects for remarked in either.report.remarks}
    assert told["source of a version fixed to what it means at present"] == 4
    # What means nothing at the source is nobody's loss.
    assert either.pair("stage that no version has") == (GONE, either.run("first"))


def test_a_reference_is_kept_where_the_destination_keeps_it(
    odd: Odd, servers: Servers, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    server = servers.start(python=mlflow_python("2.1"))
    settings: dict[str, Any] = {"model_renames": {"origin": "renamed"}, "models": ("odd", "origin")}
    migrated(odd.server, server, tmp_path, **settings)
    with closing(sqlite3.connect(server.database)) as database:
        sources = dict(database.execute("select version, source from model_versions where name = 'odd'").fetchall())
    for case in ("stage", "latest", "alias", "latest of its own model", "stage that no version has"):
        number, source, _ = odd.versions[case]
        assert sources[number] == source.replace("origin", "renamed")
    lines = told(verified(odd.server, server, **settings))
    numbers = [odd.versions[case][0] for case in ("stage", "latest", "alias", "latest of its own model")]
    assert not [line for line in lines for number in numbers if line.startswith(f"model_version odd version {number} ")]


@pytest.mark.parametrize(
    ("source", "kind", "named", "path"),
    [
        ("models:/big/7", "model_version", "big/7", ""),
        ("models:/a/b:c/12/", "model_version", "a/b:c/12", ""),
        ("models:/big/Production", "registered_model", "big", "/Production"),
        ("models:/big/latest", "registered_model", "big", "/latest"),
        ("models:/big@champion", "registered_model", "big", "@champion"),
        ("models:/big", "registered_model", "big", ""),
        (f"models:/{NO_MODEL}", "logged_model", NO_MODEL, ""),
        (f"models:/{NO_MODEL}/sub", "logged_model", NO_MODEL, "sub"),
    ],
)
def test_what_a_source_of_the_registry_names(source: str, kind: str, named: str, path: str) -> None:
    assert tuple(target(source)) == (kind, named, path)


def test_the_run_is_the_one_that_was_given_where_mlflow_takes_any(old: Arrived) -> None:
    first, second = old.run("first"), old.run("second")
    assert old.pair("run without its id") == (f"runs:/{first}/model", "")
    assert old.pair("run with another id") == (f"runs:/{first}/model", second)
    assert old.pair("version of another run") == ("models:/origin/1", second)
    assert old.version("folder of a run without its id").run_id in ("", None)


def test_where_mlflow_takes_one_run_only_that_is_told(new: Arrived) -> None:
    first = new.run("first")
    for case in ("run without its id", "run with another id"):
        assert new.pair(case) == (f"runs:/{first}/model", first)
    assert new.pair("folder of a run without its id")[0].endswith(f"/{first}/artifacts/model")
    assert new.pair("version of another run") == ("models:/origin/1", first)
    assert new.pair("version without a run") == ("models:/origin/1", first)
    assert new.version("run with another id").tags["bulkexim.source.run_id"] == new.odd.runs["second"]
    told = {remarked.what: remarked.objects for remarked in new.report.remarks}
    assert told["run of a version set by the destination"] == 5


def test_the_comparison_finds_what_was_left_behind_and_nothing_else(either: Arrived) -> None:
    cases = [case for case in ("abfss", "file", "place of the artifact service") if either.pair(case)[0] == GONE]
    numbers = [either.odd.versions[case][0] for case in cases]
    lines = told(verified(either.odd.server, either.server))
    assert [line.partition(":")[0] for line in lines] == [
        f"model_version odd version {number} differs source" for number in numbers
    ]


def test_a_second_run_writes_nothing(either: Arrived) -> None:
    before = read(either.server.url)
    report = migrated(either.odd.server, either.server, either.work_dir)
    assert (moved(report), report.exit_code) == (0, either.report.exit_code)
    assert changes(before, read(either.server.url)) == []


def test_writing_again_tells_the_same(either: Arrived) -> None:
    report = migrated(either.odd.server, either.server, either.work_dir, recheck=True)
    again = Arrived(either.odd, either.server, either.work_dir, report)
    assert (report.failures, report.exit_code) == ((), either.report.exit_code)
    assert [detail.partition(": ")[0] for detail in again.behind] == [
        detail.partition(": ")[0] for detail in either.behind
    ]


def test_a_version_whose_files_are_known_though_it_names_one_that_is_gone_is_no_equal(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    """MLflow keeps beside such a source where the files are."""
    source, destination = servers.start(), fresh_server()
    client = MlflowClient(source.url, source.url)
    model = client.create_logged_model("0", "net")
    client.finalize_logged_model(model.model_id, "READY")
    for name in ("staging", "production"):
        client.create_registered_model(name)
    client.create_model_version("staging", f"models:/{model.model_id}", model_id=model.model_id)
    client.create_model_version("production", "models:/staging/1")
    client.delete_model_version("staging", "1")
    report = migrated(source, destination, tmp_path, models=("production",))
    assert [cause for cause, _ in left_behind(report)] == ["version-source"]
    found = verified(source, destination, models=("production",))
    assert (found.different, found.exit_code) == (1, 4)
