"""The comparison of both ends: nothing is found where nothing was altered, and whatever was altered is named."""

import contextlib
import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from bulkexim.cli.main import main
from bulkexim.config import Level
from bulkexim.engine.events import Event, Finished, Found, PhaseSized
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.oracle import read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.tenant.registry import TWELVE
from tests.support.verifying import told, verified

PLAIN = "churn.model/2023 final"
OF_RUN = "run_uuid = (SELECT run_uuid FROM runs WHERE name = '{}')"

OF_EXPERIMENT = "experiment_id = (SELECT experiment_id FROM experiments WHERE name = '{}')"
OF_TWELVE = f"name = '{TWELVE}' AND version"

#: An alteration of the destination's database, and the line that must tell it.
ALTERED = [
    (
        "UPDATE metrics SET value = 0.5 WHERE key = 'loss' AND step = 1717",
        "run metrics differs metrics / loss / step 1717, time 1700000001717: expected 0.0005820721769499418, found 0.5",
    ),
    (
        "UPDATE metrics SET step = 99 WHERE key = 'val/acc : top-5' AND step = 9",
        "run metrics differs metrics / val/acc : top-5 / step 9",
    ),
    ("DELETE FROM metrics WHERE key = 'twins' AND is_nan = 1", "run metrics differs metrics / twins / step 5"),
    (
        "UPDATE params SET value = '4' WHERE key = 'param 003'",
        "run values differs params / param 003: expected 3, found 4",
    ),
    ("DELETE FROM params WHERE key = 'spaced'", "run values differs params / spaced: expected   a  , found (nothing)"),
    (
        "UPDATE tags SET value = 'x' WHERE key = 'tag.077'",
        "run values differs tags / tag.077: expected value 77, found x",
    ),
    (
        "INSERT INTO tags (key, value, run_uuid) SELECT 'more', 'x', run_uuid FROM runs WHERE name = 'in quotes'",
        "run in quotes differs tags / more: expected (nothing), found x",
    ),
    ("UPDATE runs SET name = 'other' WHERE name = 'scheduled'", "run scheduled differs name: expected scheduled"),
    ("UPDATE runs SET end_time = end_time + 1 WHERE name = 'finished'", "run finished differs end time: expected"),
    ("UPDATE runs SET start_time = 5 WHERE name = 'in emoji'", "run in emoji differs start time: expected"),
    ("UPDATE runs SET status = 'FINISHED' WHERE name = 'failed'", "run failed differs status: expected FAILED"),
    ("UPDATE runs SET user_id = 'eve' WHERE name = 'default'", "run default differs user: expected ada, found eve"),
    (
        "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'killed'",
        "run killed differs lifecycle: expected active, found deleted",
    ),
    (
        f"UPDATE tags SET value = 'x' WHERE key = 'mlflow.parentRunId' AND {OF_RUN.format('child')}",
        "run child differs tags / mlflow.parentRunId",
    ),
    (
        "DELETE FROM tags WHERE key = 'bulkexim.source.parent_run_id'",
        "run orphan differs tags / bulkexim.source.parent_run_id",
    ),
    ("UPDATE datasets SET digest = 'x' WHERE digest = 'cccc3333'", "run inputs differs dataset inputs / untagged (x)"),
    ("", "run inputs differs dataset inputs / untagged (cccc3333)"),
    (
        "UPDATE input_tags SET value = 'x' WHERE name = 'split'",
        "run inputs differs dataset inputs / test 'ü' (bbbb2222)",
    ),
    ("UPDATE inputs SET step = 41 WHERE step = 40", "run training differs model outputs / m-"),
    ("DELETE FROM runs WHERE name = 'inputs elsewhere'", "run inputs elsewhere missing"),
    (
        "UPDATE experiment_tags SET value = 'x' WHERE key = 'purpose'",
        "experiment no runs here differs tags / purpose: expected none, found x",
    ),
    (
        "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'no runs here'",
        "experiment no runs here differs lifecycle: expected active, found deleted",
    ),
    (
        f"DELETE FROM experiment_tags WHERE key = 'bulkexim.marker' AND {OF_EXPERIMENT.format('evaluation')}",
        "experiment evaluation differs marker: expected True, found False",
    ),
    (
        "UPDATE logged_models SET status = 1 WHERE name = 'handmade'",
        "logged_model handmade differs status: expected LOGGED_MODEL_READY, found LOGGED_MODEL_PENDING",
    ),
    (
        "UPDATE logged_model_params SET param_value = 'x' WHERE param_key = 'layer.9'",
        "logged_model net differs params / layer.9: expected 9, found x",
    ),
    (
        "UPDATE logged_model_metrics SET metric_value = 7 WHERE dataset_name = 'holdout'",
        "logged_model net differs metrics / accuracy of run",
    ),
    ("UPDATE logged_model_tags SET tag_value = 'x' WHERE tag_key = 'stage'", "logged_model net differs tags / stage"),
    (
        "UPDATE registered_models SET description = 'x' WHERE name = 'without versions'",
        "registered_model without versions differs description: expected soon, found x",
    ),
    (
        "DELETE FROM registered_model_aliases WHERE alias = 'Challenger'",
        f"registered_model {TWELVE} differs aliases / Challenger: expected 3, found (nothing)",
    ),
    (
        "UPDATE registered_model_aliases SET version = 12 WHERE alias = 'champion'",
        f"registered_model {TWELVE} differs aliases / champion: expected 11, found 12",
    ),
    (
        f"UPDATE model_versions SET description = 'the ' || (4 - version) || 'th' WHERE {OF_TWELVE} IN (1, 3)",
        f"model_version {TWELVE} version 1 differs description: expected the 1th, found the 3th",
    ),
    ("", f"model_version {TWELVE} version 3 differs description: expected the 3th, found the 1th"),
    (
        f"UPDATE model_versions SET current_stage = 'None' WHERE {OF_TWELVE} = 10",
        f"model_version {TWELVE} version 10 differs stage: expected Staging, found None",
    ),
    (
        f"UPDATE model_versions SET source = source || 'x' WHERE {OF_TWELVE} = 7",
        f"model_version {TWELVE} version 7 differs source: expected run",
    ),
    (
        f"UPDATE model_versions SET run_id = 'x' WHERE {OF_TWELVE} = 8",
        f"model_version {TWELVE} version 8 differs run: expected",
    ),
    (
        "UPDATE model_version_tags SET value = 'x' WHERE key = 'only 9'",
        f"model_version {TWELVE} version 9 differs tags / only 9: expected yes, found x",
    ),
    (
        "DELETE FROM model_versions WHERE name = 'starts at three' AND version = 5",
        "model_version starts at three version 5 missing",
    ),
    (
        f"DELETE FROM tags WHERE key = 'bulkexim.marker' AND {OF_RUN.format('shared inputs')}",
        "run shared inputs missing",
    ),
    ("", "run shared inputs extra not from this source"),
]


@pytest.fixture(scope="module")
def destination(servers: Servers, tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> MlflowServer:
    """Where the tenant was moved, deleted objects included; copy it to alter it."""
    server = servers.start()
    report = migrated(tenant.url, server, tmp_path_factory.mktemp("work"), include_deleted=True)
    assert report.exit_code == 0
    return server


@pytest.mark.parametrize("level", Level)
def test_nothing_is_found_where_nothing_was_altered(tenant: Tenant, destination: MlflowServer, level: Level) -> None:
    found = verified(tenant.url, destination, level, include_deleted=True)
    assert told(found) == []
    assert (found.exit_code, found.different, found.unselected) == (0, 0, 0)
    original = read(tenant.url, artifacts=False)
    expected = {
        "experiment": len(original.experiments),
        "run": len(original.runs),
        "logged_model": len(original.logged_models),
        "registered_model": len(original.registered_models),
        "model_version": len(original.versions),
    }
    assert {kind.kind: kind.source for kind in found.kinds} == expected
    assert {kind.kind: kind.destination for kind in found.kinds} == expected
    assert {kind.kind: kind.same for kind in found.kinds} == expected


def test_the_progress_of_a_comparison_knows_how_many_objects_there_are(
    tenant: Tenant, destination: MlflowServer
) -> None:
    """Before the first is compared; that takes no further request."""
    events: list[Event] = []
    verification = verified(tenant.url, destination, Level.COUNTS, events.append, include_deleted=True)
    for kind in verification.kinds:
        of_kind = [event for event in events if event.kind == kind.kind]
        first = next(number for number, event in enumerate(of_kind) if isinstance(event, Found | Finished))
        sizes = [event.total for event in of_kind[:first] if isinstance(event, PhaseSized)]
        assert sizes == [kind.source]


def test_nothing_is_found_without_what_is_deleted(tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    server = fresh_server()
    assert migrated(tenant.url, server, tmp_path).exit_code == 0
    for level in Level:
        assert told(verified(tenant.url, server, level)) == []


@pytest.mark.parametrize(
    "settings",
    [{}, {"models": ("churn*",)}, {"experiments": ("evaluation", "models")}, {"run_start_time": 1_700_000_050_000}],
)
def test_what_was_not_selected_is_not_extra(
    tenant: Tenant, destination: MlflowServer, settings: dict[str, Any]
) -> None:
    found = verified(tenant.url, destination, **settings)
    assert told(found) == []
    assert sum(kind.source for kind in found.kinds) > 0


def test_nothing_is_found_after_everything_was_written_again(
    servers: Servers, tenant: Tenant, destination: MlflowServer, tmp_path: Path
) -> None:
    server = servers.copy(destination)
    assert migrated(tenant.url, server, tmp_path, include_deleted=True, recheck=True).exit_code == 0
    assert told(verified(tenant.url, server, Level.FULL, include_deleted=True)) == []


def test_every_alteration_is_found_and_named(servers: Servers, tenant: Tenant, destination: MlflowServer) -> None:
    server = servers.copy(destination)
    client = MlflowClient(server.url)
    expected = [line for _, line in ALTERED] + _write_more(client)
    with contextlib.closing(sqlite3.connect(server.database)) as store:
        for statement, line in ALTERED:
            assert not statement or store.execute(statement).rowcount > 0, line
        store.commit()
    lines = told(verified(tenant.url, server, include_deleted=True))
    unseen = [line for line in expected if not any(found.startswith(line) for found in lines)]
    assert unseen == [], "\n".join(lines)
    beside = [found for found in lines if not any(found.startswith(line) for line in expected)]
    assert beside == []


def _write_more(client: MlflowClient) -> list[str]:
    """Alters through MLflow's own client; returns the lines that must tell it."""
    [experiment] = [one for one in client.search_experiments() if one.name == PLAIN]
    client.create_run(experiment.experiment_id, run_name="stranger")
    [running] = client.search_runs([experiment.experiment_id], "attributes.run_name = 'running'")
    client.create_run(experiment.experiment_id, run_name="running", tags=running.data.tags)
    client.create_model_version("without versions", "s3://bucket/x")
    return [
        "run stranger extra not from this source",
        "run running extra doubled: ",
        "model_version without versions version 1 extra not from this source",
    ]


Alter = Callable[[bytes], bytes | None]
#: Run, file, what is done to it, what must be told, and the lowest level that can tell it.
FILES: list[tuple[str, str, Alter, str, Level]] = [
    ("artifacts", "odd/what?.txt", lambda old: old + b"!", "expected 24 bytes, found 25 bytes", Level.CONTENT),
    ("artifacts", "notes.md", lambda old: old[:3], "expected 9 bytes, found 3 bytes", Level.CONTENT),
    ("many files", "parts/part-217.json", lambda old: None, "expected 10 bytes, found (nothing)", Level.CONTENT),
    ("many files", "parts/part-218.json", lambda old: old[:-1] + b" ", "expected 10 bytes, sha256 ", Level.FULL),
    ("artifacts", "large.bin", lambda old: old[:-1] + b"x", "expected 12,582,912 bytes, sha256 ", Level.FULL),
    ("model of mlflow 2", "model/MLmodel", lambda old: old.replace(b"run_id: ", b"run_id: 0"), "", Level.CONTENT),
    ("model of mlflow 2", "model/MLmodel", lambda old: old.replace(b"sklearn", b"sklearm"), "", Level.FULL),
]


@pytest.mark.parametrize("level", [Level.CONTENT, Level.FULL])
def test_every_altered_file_is_found_and_named(
    servers: Servers, destination: MlflowServer, tenant: Tenant, level: Level
) -> None:
    server = servers.copy(destination)
    expected = []
    for label, path, alter, sentence, from_level in FILES:
        if from_level is level:
            file = _file(server, label, path)
            content = alter(file.read_bytes())
            file.unlink() if content is None else file.write_bytes(content)
            expected.append(f"run {label} differs artifacts / {path}: {sentence}")
    _file(server, "artifacts", "more.txt").write_bytes(b"more")
    expected.append("run artifacts differs artifacts / more.txt: expected (nothing), found 4 bytes")
    lines = told(verified(tenant.url, server, level, include_deleted=True))
    assert sorted(line for line in expected if not any(found.startswith(line) for found in lines)) == []
    assert len(lines) == len(expected)
    assert told(verified(tenant.url, server, level, include_deleted=True, artifacts=False)) == []


def _file(server: MlflowServer, run: str, path: str) -> Path:
    [root] = _rows(server, f"SELECT artifact_uri FROM runs WHERE name = '{run}'")
    return server.artifacts / root.removeprefix("mlflow-artifacts:/") / path


def _rows(server: MlflowServer, query: str) -> list[str]:
    with contextlib.closing(sqlite3.connect(server.database)) as store:
        return [str(value) for (value,) in store.execute(query)]


def test_bytes_are_read_only_at_the_highest_level(servers: Servers, destination: MlflowServer, tenant: Tenant) -> None:
    server = servers.copy(destination)
    file = _file(server, "artifacts", "large.bin")
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    assert told(verified(tenant.url, server, Level.CONTENT, include_deleted=True)) == []
    assert told(verified(tenant.url, server, Level.COUNTS, include_deleted=True)) == []


@pytest.fixture(scope="module")
def small(servers: Servers, small_server: MlflowServer, small_tenant: Tenant) -> MlflowServer:
    """A source that the tests may change."""
    return servers.copy(small_server)


def test_what_the_source_has_no_more_is_extra(
    small: MlflowServer, small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    server = fresh_server()
    assert migrated(small, server, tmp_path).exit_code == 0
    with contextlib.closing(sqlite3.connect(small.database)) as store:
        store.execute(f"DELETE FROM runs WHERE run_uuid = '{small_tenant.runs['other']}'")
        store.commit()
    client = MlflowClient(small.url, small.url)
    client.delete_run(small_tenant.runs["child"])
    client.delete_registered_model("small model")
    found = verified(small, server, Level.COUNTS)
    gone = "extra the source does not have it any more"
    assert sorted(told(found)) == [
        f"model_version small model version 1 {gone}",
        f"model_version small model version 3 {gone}",
        f"registered_model small model {gone}",
        f"run other {gone}",
    ]
    # A run that was deleted since is there, but not selected.
    assert found.unselected == 1
    assert found.exit_code == 4


def test_the_command_tells_by_table_json_and_exit_code(
    small_server: MlflowServer,
    small_tenant: Tenant,
    fresh_server: StartServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    server = fresh_server()
    ends = ["--src-uri", small_tenant.url, "--dst-uri", server.url]

    def run(command: str, *args: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [command, *ends, *args])
        assert "Traceback" not in result.output
        return result.exit_code, result.stdout

    code, text = run("migrate-workspace", "--verify", "full", "--json")
    assert (code, json.loads(text)["verification"]["findings"]) == (0, [])
    code, text = run("verify")
    assert code == 0
    assert "Both ends are equal in every field" in text
    MlflowClient(server.url, server.url).delete_registered_model_alias("small model", "live")
    code, text = run("verify", "--level", "content")
    assert code == 4
    assert "differs  registered_model 'small model'" in text
    assert "aliases / live: expected 3, found (nothing)" in text
    code, text = run("verify", "--json")
    [finding] = json.loads(text)["findings"]
    assert code == json.loads(text)["exit_code"] == 4
    assert finding["differences"] == [{"field": "aliases / live", "expected": "3", "found": "(nothing)"}]
    assert run("verify", "--level", "counts")[0] == 0
    assert run("migrate-workspace", "--verify", "content")[0] == 4
    assert run("migrate-workspace", "--recheck", "--verify", "content")[0] == 0
    assert run("verify", "--level", "everything")[0] == 2


@pytest.mark.parametrize("address", ["mlruns", "sqlite:///mlflow.db"])
def test_nothing_is_found_after_a_local_store_was_moved(
    address: str, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    # MLflow keeps an engine for each address it ever saw, whatever folder a relative one meant then.
    whole = f"sqlite:///{tmp_path}/mlflow.db" if "://" in address else str(tmp_path / address)
    client = MlflowClient(whole, whole)
    experiment = client.create_experiment("kept", tags={"team": "tests"})
    run = client.create_run(experiment).info
    for value in (0.5, math.nan, math.inf, -math.inf, -0.0, 0.5):
        client.log_metric(run.run_id, "loss", value, timestamp=5, step=int(value == 0.5))
    client.log_text(run.run_id, "weights", "model/weights.txt")
    client.log_text(run.run_id, f"run_id: {run.run_id}\nartifact_path: {run.artifact_uri}/model\n", "model/MLmodel")
    client.set_terminated(run.run_id)
    client.create_registered_model("net")
    client.create_model_version("net", f"{run.artifact_uri}/model", run.run_id)
    server = fresh_server()
    assert migrated(address, server, tmp_path / "work").exit_code == 0
    assert told(verified(address, server, Level.FULL)) == []
