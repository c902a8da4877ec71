"""Text that the columns of a PostgreSQL destination do not hold: cut there, whole in tags, told, and no object fails.

The source is SQLite, which enforces no length and takes NUL characters.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.migrating import changes, migrated, moved, planned
from tests.support.oracle import BY_ID, Snapshot, compare, read
from tests.support.postgres import PostgresCluster
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import START, Builder
from tests.support.verifying import told, verified

LONG = "long text with an ü, "


def _long(limit: int) -> str:
    """Return a text of more characters than a column holds, which ends in a word of its own."""
    return (LONG * (limit // len(LONG) + 1))[:limit] + " the end"


@dataclass
class Long:
    """A source full of long text and of NUL characters; what each object has, by its name."""

    build: Builder
    experiments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, dict[str, Any]] = field(default_factory=dict)

    def rest(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self.build.rest("POST", f"2.0/mlflow/{path}", body)

    def experiment(self, label: str, name: str) -> None:
        self.experiments[label] = name
        self.rest("experiments/create", {"name": name})

    def run(self, label: str, **fields: Any) -> str:
        """Create a run, found again by its start time."""
        body = {"experiment_id": self.build.experiments["plain"], "start_time": START + len(self.runs), **fields}
        self.runs[label] = body
        run_id: str = self.rest("runs/create", body)["run"]["info"]["run_id"]
        self.rest("runs/update", {"run_id": run_id, "status": "FINISHED", "end_time": START + 1000})
        return run_id

    def model(self, label: str, name: str, **fields: Any) -> None:
        self.models[label] = {"name": name, **fields}
        self.rest("registered-models/create", self.models[label])


def _build(url: str, scratch: Path) -> Long:
    build = Builder(url, scratch)
    build.experiment("plain", "plain")
    made = Long(build)
    made.experiment("long", _long(256))
    made.experiment("the same beginning", _long(256) + " of another")
    made.experiment("nul", "an experiment\0 with NUL")
    made.run("name", run_name=_long(250))
    made.run("user", user_id=_long(256), run_name="with a long user")
    made.run("key", run_name="with a long key", tags=[{"key": "k" * 300, "value": "of a long key"}])
    made.run("nul", run_name="nul\0name", user_id="nul\0user", tags=[{"key": "nul", "value": "a\0tag"}])
    params = made.run("params", run_name="with params")
    made.rest("runs/log-batch", {"run_id": params, "params": [{"key": "p", "value": "a\0param"}]})
    inputs = made.run("inputs", run_name="with inputs")
    dataset = {"name": "data\0set", "digest": "d", "source_type": _long(36), "source": "a\0source"}
    made.rest("runs/log-inputs", {"run_id": inputs, "datasets": [{"dataset": dataset}]})
    made.model("name", _long(256))
    made.model("nul", "model\0nul", description="nul\0description", tags=[{"key": "t", "value": "a\0tag"}])
    made.model("description", "with a description", description=_long(5000))
    made.model("tag", "with a tag", tags=[{"key": "t", "value": _long(5000)}])
    made.model("plain", "versions")
    for version in (
        {"description": _long(5000)},
        {"description": "nul\0description", "run_link": "nul\0link", "tags": [{"key": "t", "value": "a\0tag"}]},
        {"run_link": _long(500)},
        {"run_id": "r" * 40},
        {"description": "after them all"},
    ):
        made.rest("model-versions/create", {"name": "versions", "source": "s3://bucket/model", **version})
    for name in (made.models["name"]["name"], "model\0nul"):
        made.rest("model-versions/create", {"name": name, "source": "s3://bucket/model"})
        made.rest("registered-models/alias", {"name": name, "alias": "live", "version": "1"})
    body: dict[str, Any] = {"experiment_id": build.experiments["plain"], "name": _long(500), "model_type": _long(500)}
    made.rest("logged-models", body)
    body = {"name": "nul\0model", "model_type": "nul\0type", "params": [{"key": "p", "value": "a\0param"}]}
    made.rest("logged-models", {"experiment_id": build.experiments["plain"], **body})
    return made


@pytest.fixture(scope="module")
def source(servers: Servers) -> MlflowServer:
    return servers.start()


@pytest.fixture(scope="module")
def made(source: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Long:
    """Read it, never write to it."""
    return _build(source.url, tmp_path_factory.mktemp("scratch"))


@pytest.fixture(scope="module")
def work_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def destination(
    source: MlflowServer, made: Long, servers: Servers, postgres: PostgresCluster, work_dir: Path
) -> MlflowServer:
    """On PostgreSQL, and filled."""
    server = servers.start("postgres")
    report = migrated(source, server, work_dir)
    assert (report.failures, report.left_behind, report.exit_code) == ((), (), 0)
    told = {remarked.what for remarked in report.remarks}
    assert {"description longer than 5000", "run name longer than 250", "NUL character in param"} <= told
    return server


@pytest.fixture(scope="module")
def there(destination: MlflowServer) -> Snapshot:
    return read(destination.url)


def whole(tags: Mapping[str, str], what: str, key: str = "") -> str:
    """Put together what the tags keep of a text."""
    for form in ("long", "long.json"):
        pieces: list[str] = []
        end = f".{key}" if key else ""
        while (piece := tags.get(f"bulkexim.{form}.{what}.{len(pieces)}{end}")) is not None:
            pieces.append(piece)
        if pieces:
            text = "".join(pieces)
            return str(json.loads(text)) if form == "long.json" else text
    return "(not kept)"


def test_experiments_keep_apart_and_whole(made: Long, there: Snapshot) -> None:
    """Two long names that are the same up to the limit stay two experiments."""
    found = {whole(one.tags, "name"): one.name for one in there.experiments.values()}
    for name in made.experiments.values():
        assert name in found
    names = {label: found[name] for label, name in made.experiments.items()}
    assert names["nul"] == "an experiment with NUL"
    long = made.experiments["long"]
    twins = {names["long"], names["the same beginning"]}
    # Whichever came first has the name that is only cut.
    assert [long[:256] in twins, len(twins)] == [True, 2]
    assert all(name.startswith(long[:200]) for name in twins)


def test_runs_keep_name_user_tags_and_params(made: Long, there: Snapshot) -> None:
    found = {run.info.start_time: run for run in there.runs.values()}
    runs = {label: found[body["start_time"]] for label, body in made.runs.items()}
    tags = {label: run.data.tags for label, run in runs.items()}
    name, user = made.runs["name"]["run_name"], made.runs["user"]["user_id"]
    assert (runs["name"].info.run_name, whole(tags["name"], "run_name")) == (name[:250], name)
    assert tags["name"]["mlflow.runName"] == name[:250]
    assert (runs["user"].info.user_id, whole(tags["user"], "user")) == (user[:256], user)
    (key,) = (key for key in tags["key"] if key.startswith("kkk"))
    assert (tags["key"][key], whole(tags["key"], "tag_key", key[-32:])) == ("of a long key", "k" * 300)
    assert (runs["nul"].info.run_name, whole(tags["nul"], "run_name")) == ("nulname", "nul\0name")
    assert (runs["nul"].info.user_id, whole(tags["nul"], "user")) == ("nuluser", "nul\0user")
    assert (tags["nul"]["nul"], whole(tags["nul"], "tag", "nul")) == ("atag", "a\0tag")
    assert (runs["params"].data.params["p"], whole(tags["params"], "param", "p")) == ("aparam", "a\0param")


def test_runs_keep_dataset_inputs(made: Long, there: Snapshot) -> None:
    (run,) = (run for run in there.runs.values() if run.info.run_name == "with inputs")
    assert run.inputs
    dataset, tags = run.inputs.dataset_inputs[0].dataset, run.data.tags
    assert (dataset.name, dataset.source, dataset.source_type) == ("dataset", "asource", _long(36)[:36])
    # The name of the dataset tells its fields apart; it cannot be in a key as it is.
    kept = {key.split(".0.")[0].rpartition("_")[2]: tag for key, tag in tags.items() if ".dataset_" in key}
    assert kept == {"name": json.dumps("data\0set"), "source": json.dumps("a\0source"), "type": _long(36)}


def test_registered_models_keep_name_description_and_tags(made: Long, there: Snapshot) -> None:
    found = {whole(one.tags, "name"): one for one in there.registered_models.values()}
    long_name, nul = made.models["name"]["name"], made.models["nul"]
    assert found[long_name].name == long_name[:256]
    assert found["model\0nul"].name == "modelnul"
    assert whole(found["model\0nul"].tags, "description") == nul["description"]
    assert whole(found["model\0nul"].tags, "tag", "t") == "a\0tag"
    for name in (long_name[:256], "modelnul"):
        assert there.registered_models[name].aliases == {"live": "1"}
        assert (name, 1) in there.versions
    long = made.models["description"]["description"]
    described = there.registered_models["with a description"]
    assert (described.description, whole(described.tags, "description")) == (long[:5000], long)
    tagged = there.registered_models["with a tag"]
    assert (tagged.tags["t"], whole(tagged.tags, "tag", "t")) == (_long(5000)[:5000], _long(5000))


def test_versions_keep_their_text_and_their_numbers(made: Long, there: Snapshot) -> None:
    versions = {number: there.versions["versions", number] for number in range(1, 6)}
    long = _long(5000)
    assert (versions[1].description, whole(versions[1].tags, "description")) == (long[:5000], long)
    assert (versions[2].description, whole(versions[2].tags, "description")) == ("nuldescription", "nul\0description")
    assert whole(versions[2].tags, "run_link") == "nul\0link"
    assert whole(versions[2].tags, "tag", "t") == "a\0tag"
    assert (versions[3].run_link, whole(versions[3].tags, "run_link")) == (_long(500)[:500], _long(500))
    assert (versions[4].run_id, versions[4].tags["bulkexim.source.run_id"]) == ("r" * 32, "r" * 40)
    assert versions[5].description == "after them all"


def test_logged_models_keep_name_type_and_params(made: Long, there: Snapshot) -> None:
    found = {whole(one.tags, "name"): one for one in there.logged_models.values()}
    assert found[_long(500)].name == _long(500)[:500]
    assert whole(found[_long(500)].tags, "model_type") == _long(500)
    assert (found["nul\0model"].name, found["nul\0model"].params) == ("nulmodel", {"p": "aparam"})
    assert whole(found["nul\0model"].tags, "param", "p") == "a\0param"


def test_the_comparison_finds_both_ends_equal(source: MlflowServer, made: Long, destination: MlflowServer) -> None:
    assert told(verified(source, destination)) == []


def test_a_second_run_writes_nothing(
    source: MlflowServer, made: Long, destination: MlflowServer, work_dir: Path, there: Snapshot
) -> None:
    report = migrated(source, destination, work_dir)
    assert (report.exit_code, moved(report)) == (0, 0)
    assert changes(there, read(destination.url)) == []


def test_writing_all_of_it_again_changes_nothing(
    source: MlflowServer, made: Long, destination: MlflowServer, work_dir: Path, there: Snapshot
) -> None:
    report = migrated(source, destination, work_dir, recheck=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(there, read(destination.url), match=BY_ID) == []


def test_a_lost_ledger_doubles_nothing(
    source: MlflowServer, made: Long, destination: MlflowServer, tmp_path: Path, there: Snapshot
) -> None:
    report = migrated(source, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    for kind in ("experiments", "runs", "logged_models", "registered_models", "versions"):
        assert getattr(after, kind).keys() == getattr(there, kind).keys()


def test_a_destination_that_takes_it_gets_it_whole(
    source: MlflowServer, made: Long, servers: Servers, tmp_path: Path
) -> None:
    lite = servers.start()
    plan = planned(source, lite, tmp_path)
    assert "description longer than 5000" in {remarked.what for remarked in plan.remarks}
    report = migrated(source, lite, tmp_path)
    assert (report.failures, report.left_behind, report.exit_code) == ((), (), 0)
    assert compare(source.url, lite.url) == []
