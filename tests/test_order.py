"""Versions keep their numbers and their order, whatever else goes on at the same time."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from bulkexim import Endpoint
from bulkexim.engine import lanes
from bulkexim.engine.events import Event, Stepped
from bulkexim.kinds import model_version
from tests.conftest import StartServer
from tests.support.migrating import migrated, of
from tests.support.oracle import compare, read
from tests.support.servers import MlflowServer, Servers

pytestmark = pytest.mark.filterwarnings("ignore:.*transition_model_version_stage:FutureWarning")

MODELS = tuple(f"{letter} model" for letter in "mczaykbxlwdv")
VERSIONS = 25
GAPS = (1, 2, 7, 12, 13, 14, 24)
KEPT = [number for number in range(1, VERSIONS + 1) if number not in GAPS]
STAGES = {"5": "Archived", "10": "Staging", "23": "Production"}


@pytest.fixture(scope="module")
def registry(servers: Servers) -> MlflowServer:
    """Twelve models of 25 versions, promoted across models whose names sort before and after; nobody changes it."""
    server = servers.start()
    client = MlflowClient(server.url, server.url)
    for at, name in enumerate(MODELS):
        client.create_registered_model(name)
        for number in range(1, VERSIONS + 1):
            other = MODELS[at - 1]
            # The ninth version of the model before, and of this one.
            source = f"models:/{other}/9" if at and number == 16 else f"s3://bucket/{at}/{number}"
            source = f"models:/{name}/9" if number == 17 else source
            client.create_model_version(name, source, tags={"number": str(number)})
        for staged, stage in STAGES.items():
            client.transition_model_version_stage(name, staged, stage)
        for gap in GAPS:
            client.delete_model_version(name, str(gap))
        client.set_registered_model_alias(name, "champion", "22")
    return server


def test_numbers_and_order_are_kept_at_the_highest_concurrency(
    registry: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    created: dict[str, list[int]] = {}

    def note(event: Event) -> None:
        if isinstance(event, Stepped) and event.kind == "model_version" and event.state == "created":
            name, _, number = event.id.rpartition("/")
            created.setdefault(name, []).append(int(number))

    report = migrated(
        Endpoint(uri=registry.url, concurrency=64), Endpoint(uri=destination.url, concurrency=64), tmp_path, note
    )
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(registry.url, destination.url) == []
    assert created == dict.fromkeys(MODELS, KEPT)
    again = migrated(registry, destination, tmp_path)
    assert of(again, "model_version").already == len(MODELS) * len(KEPT)


def test_numbers_and_order_are_kept_where_a_lane_holds_few_versions_and_reads_the_others_again(
    registry: MlflowServer, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes, "HELD", 18 * 4)
    monkeypatch.setattr(model_version, "FEW", 5)
    destination = fresh_server()
    report = migrated(registry, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(registry.url, destination.url) == []


def test_a_model_of_somebody_else_is_left_alone_and_its_neighbours_arrive(
    registry: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    client = MlflowClient(destination.url, destination.url)
    client.create_registered_model("c model", {"owner": "somebody else"})
    client.create_model_version("c model", "s3://bucket/theirs")
    before = read(destination.url)

    report = migrated(registry, destination, tmp_path)

    assert report.exit_code == 3
    after = read(destination.url)
    assert after.registered_models["c model"].tags == {"owner": "somebody else"}
    assert [name for name, _ in after.versions if name == "c model"] == ["c model"]
    assert vars(after.versions["c model", 1]) == vars(before.versions["c model", 1])
    failed = next(failure for failure in report.failures if failure.kind == "registered_model")
    assert failed.name == "c model"
    assert failed.cause == "name taken"
    assert "has a registered model 'c model' that did not come from this source" in failed.error
    assert "--model-rename-file" in failed.error
    # The version that was promoted from it names the files instead.
    (line,) = [line for line in compare(registry.url, after) if "'c model'" not in line]
    assert line.startswith("registered model 'z model': versions / 16 / source: expected 'version c model / 9'")
    assert line.endswith("found 'elsewhere s3://bucket/1/9 / '")
    renamed = migrated(registry, destination, tmp_path, model_renames={"c model": "our c model"})
    # A version that was copied from one of the models above does not lead to it under the new name, and is told.
    assert [str(one.cause) for one in renamed.left_behind] == ["version-source"]
    assert (renamed.failures, renamed.exit_code) == ((), 3)
    assert sorted(number for name, number in read(destination.url).versions if name == "our c model") == KEPT


def test_a_version_that_somebody_registers_in_between_is_noticed(
    registry: MlflowServer, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    client = MlflowClient(destination.url, destination.url)

    def intrude(event: Event) -> None:
        if isinstance(event, Stepped) and (event.id, event.state) == ("m model/8", "created"):
            client.create_model_version("m model", "s3://bucket/theirs", tags={"owner": "somebody else"})

    report = migrated(registry, destination, tmp_path, intrude, models=("m model", "a model"))

    assert report.exit_code == 3
    first = next(failure for failure in report.failures if failure.cause == "version number not kept")
    assert first.id == "m model/9"
    assert "If others register there" in first.error
    after = read(destination.url)
    kept = [number for name, number in after.versions if name == "m model"]
    assert sorted(kept) == [3, 4, 5, 6, 8, 9]
    assert after.versions["m model", 9].tags == {"owner": "somebody else"}
    assert sorted(number for name, number in after.versions if name == "a model") == KEPT
