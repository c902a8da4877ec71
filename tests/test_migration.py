"""The main job: a tenant with every awkward case arrives exactly, once, and is usable where it arrived."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlflow.sklearn
import pytest

from bulkexim import Report
from tests.conftest import StartServer
from tests.support.migrating import changes, migrated, moved, of
from tests.support.oracle import Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant

KINDS = ("experiment", "run", "logged_model", "registered_model", "model_version")


@pytest.fixture(scope="module")
def original(tenant: Tenant) -> Snapshot:
    """The source as the oracle reads it; nobody changes it."""
    return read(tenant.url)


@pytest.fixture(scope="module")
def destination(servers: Servers) -> MlflowServer:
    """Where the tenant was moved, deleted objects included; tests may move it there again."""
    return servers.start()


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def first(tenant: Tenant, destination: MlflowServer, work_dir: Path) -> Report:
    """The report of the first migration."""
    return migrated(tenant.url, destination, work_dir, include_deleted=True)


@pytest.mark.usefixtures("first")
def test_a_tenant_arrives_exactly_with_what_is_deleted(original: Snapshot, destination: MlflowServer) -> None:
    assert compare(original, destination.url, include_deleted=True) == []


def test_the_report_accounts_for_every_object(original: Snapshot, first: Report) -> None:
    assert (first.failures, first.exit_code) == ((), 0)
    expected = {
        "experiment": len(original.experiments),
        "run": len(original.runs),
        "logged_model": len(original.logged_models),
        "registered_model": len(original.registered_models),
        "model_version": len(original.versions),
    }
    assert {kind: of(first, kind).found for kind in KINDS} == expected
    assert {kind: of(first, kind).moved for kind in KINDS} == expected


def test_kinds_that_stay_behind_are_counted(tenant: Tenant, first: Report) -> None:
    assert {left.kind: left.objects for left in first.uncarried} == {
        "trace": len(tenant.traces),
        "prompt": len(tenant.prompts),
        "evaluation_dataset": len(tenant.evaluation_datasets),
    }


@pytest.mark.usefixtures("first")
def test_a_second_migration_creates_nothing(tenant: Tenant, destination: MlflowServer, work_dir: Path) -> None:
    before = read(destination.url)
    second = migrated(tenant.url, destination, work_dir, include_deleted=True)
    assert (moved(second), second.failed) == (0, 0)
    assert [of(second, kind).already for kind in KINDS] == [of(second, kind).found for kind in KINDS]
    assert sum(second.requests.values()) < sum(kind.found for kind in second.kinds)
    assert changes(before, read(destination.url)) == []


def test_a_migration_without_its_ledger_doubles_nothing(
    original: Snapshot, destination: MlflowServer, first: Report, tmp_path: Path
) -> None:
    before = read(destination.url)
    again = migrated(original.url, destination, tmp_path, include_deleted=True)
    assert (again.failures, again.exit_code) == ((), 0)
    after = read(destination.url)
    assert compare(original, after, include_deleted=True) == []
    assert set(after.runs) == set(before.runs)
    assert set(after.logged_models) == set(before.logged_models)
    assert set(after.experiments) == set(before.experiments)
    assert again.requests["destination"] < first.requests["destination"]


def test_a_tenant_arrives_exactly_without_what_is_deleted(
    original: Snapshot, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    report = migrated(original.url, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(original, destination.url) == []


def test_a_tenant_arrives_exactly_on_postgresql(original: Snapshot, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server("postgres")
    report = migrated(original.url, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(original, destination.url, include_deleted=True) == []


@pytest.mark.usefixtures("first")
def test_a_migrated_model_predicts_as_it_did(tenant: Tenant, destination: MlflowServer) -> None:
    questions = [[-1.0], [0.5], [1.4], [1.6], [9.0]]

    def answers(url: str) -> list[tuple[float, ...]]:
        with _fluent(url):
            uri = "models:/logistic regression/1"
            classes = mlflow.pyfunc.load_model(uri).predict(questions)
            chances = mlflow.sklearn.load_model(uri).predict_proba(questions)
        return [(int(one), *map(float, row)) for one, row in zip(classes, chances, strict=True)]

    assert answers(destination.url) == answers(tenant.url)


@contextmanager
def _fluent(url: str) -> Iterator[None]:
    """Makes a server the one that MLflow's flavors load from."""
    mlflow.set_tracking_uri(url)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type]
