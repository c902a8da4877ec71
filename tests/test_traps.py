"""Calls to MLflow that answer 200 and lose data: each is shown on a real server, and shown not to hit a migration."""

import math
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow.entities import LoggedModelInput, Metric, Param, RunTag

from bulkexim import Report
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.oracle import Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import START, Builder

LONG_PARAM = "".join(f"{number:06}," for number in range(2500))
LONG_TAG = LONG_PARAM[::-1]


def _rest(server: MlflowServer, endpoint: str, body: dict[str, Any]) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/api/2.0/mlflow/{endpoint}", json=body, trust_env=False)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


class Trapped:
    """A source where every trap is set, and the destination it was moved to."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.source, self.destination = servers.start(), servers.start()
        self.build = Builder(self.source.url, folder)
        self.build.experiment("plain", "traps")
        for trap in (_odd_times, _long_values, _odd_names, _model_links, _duplicates, _many_values, _deleted_versions):
            trap(self)
        self.work_dir = folder / "work"
        self.report: Report = migrated(self.source, self.destination, self.work_dir)
        self.before: Snapshot = read(self.source.url)
        self.after: Snapshot = read(self.destination.url)

    def arrived(self, label: str) -> str:
        """The id at the destination of a run of the source."""
        origin = self.build.runs[label]
        return next(
            run_id for run_id, run in self.after.runs.items() if run.data.tags["bulkexim.source.run_id"] == origin
        )

    def sql(self, statement: str, *values: object) -> None:
        """Puts into the source what its API would not take."""
        with closing(sqlite3.connect(self.source.database)) as database, database:
            database.execute(statement, values)

    def remarks(self) -> dict[str, int]:
        """What the report says could not be carried, and of how many objects."""
        return {remark.what: remark.objects for remark in self.report.remarks}


@pytest.fixture(scope="module")
def trapped(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Trapped:
    return Trapped(servers, tmp_path_factory.mktemp("traps"))


def _odd_times(it: Trapped) -> None:
    it.build.run("odd times", start=START + 123)
    it.build.client.log_metric(it.build.runs["odd times"], "loss", 1.0, timestamp=START + 7, step=2**53 + 1)


def test_a_float_for_an_integer_loses_the_rest_of_a_call_but_we_send_integers(trapped: Trapped) -> None:
    body = {
        "experiment_id": "0",
        "start_time": START + 0.5,
        "run_name": "kept?",
        "tags": [{"key": "kept", "value": "?"}],
    }
    run = _rest(trapped.destination, "runs/create", body)["run"]
    assert "start_time" not in run["info"] or run["info"]["start_time"] == 0
    assert run["info"]["run_name"] != "kept?"

    info = trapped.after.runs[trapped.arrived("odd times")].info
    assert (info.run_name, info.start_time, info.end_time) == ("odd times", START + 123, START + 60_123)
    (point,) = trapped.after.histories[trapped.arrived("odd times")]
    assert (point.timestamp, point.step) == (START + 7, 2**53 + 1)


def _long_values(it: Trapped) -> None:
    run_id = it.build.run("long values")
    it.build.client.log_batch(run_id, params=[Param("long", "?")], tags=[RunTag("long", "?")])
    it.sql("update params set value = ? where run_uuid = ?", LONG_PARAM, run_id)
    it.sql("update tags set value = ? where run_uuid = ? and key = 'long'", LONG_TAG, run_id)


def test_long_values_are_cut_in_silence_but_we_keep_them_whole_and_say_so(trapped: Trapped) -> None:
    run_id = _rest(trapped.destination, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    params, tags = [{"key": "long", "value": LONG_PARAM}], [{"key": "long", "value": LONG_TAG}]
    _rest(trapped.destination, "runs/log-batch", {"run_id": run_id, "params": params, "tags": tags})
    run = Builder(trapped.destination.url, Path()).client.get_run(run_id)
    assert (len(run.data.params["long"]), len(run.data.tags["long"])) == (6000, 8000)

    run = trapped.after.runs[trapped.arrived("long values")]
    assert run.data.params["long"] == LONG_PARAM[:6000]
    assert run.data.tags["long"] == LONG_TAG[:8000]
    assert _whole(run.data.tags, "param") == LONG_PARAM
    assert _whole(run.data.tags, "tag") == LONG_TAG
    assert trapped.remarks()["param longer than 6000"] == 1
    assert trapped.remarks()["tag longer than 8000"] == 1


def _whole(tags: dict[str, str], what: str) -> str:
    return "".join(tags[f"bulkexim.long.{what}.{piece}.long"] for piece in range(3))


def _odd_names(it: Trapped) -> None:
    body = {"experiment_id": it.build.experiments["plain"], "run_name": "odd keys"}
    tags = [{"key": "odd@key!", "value": "kept"}, {"key": "mlflow.user", "value": "ada"}]
    run_id = _rest(it.source, "runs/create", body | {"tags": tags, "start_time": START})["run"]["info"]["run_id"]
    it.build.keep("odd keys", run_id, "plain")
    run_id = it.build.run("nameless")
    it.sql("update runs set name = '' where run_uuid = ?", run_id)
    it.sql("delete from tags where key = 'mlflow.runName' and run_uuid = ?", run_id)
    run_id = it.build.run("two names")
    it.sql("update tags set value = 'another' where key = 'mlflow.runName' and run_uuid = ?", run_id)


def test_a_tag_that_only_a_new_run_can_have_survives_later_changes(trapped: Trapped) -> None:
    assert trapped.after.runs[trapped.arrived("odd keys")].data.tags["odd@key!"] == "kept"
    trapped.build.client.set_tag(trapped.build.runs["odd keys"], "later", "yes")
    report = migrated(trapped.source, trapped.destination, trapped.work_dir)
    assert report.failures == ()
    tags = Builder(trapped.destination.url, Path()).client.get_run(trapped.arrived("odd keys")).data.tags
    assert (tags["odd@key!"], tags["later"]) == ("kept", "yes")


def test_names_that_the_destination_makes_up_are_told(trapped: Trapped) -> None:
    assert trapped.remarks()["empty run name"] == 1
    assert trapped.remarks()["two run names"] == 1
    assert trapped.after.runs[trapped.arrived("two names")].info.run_name == "two names"


def _model_links(it: Trapped) -> None:
    client, run_id = it.build.client, it.build.run("model links")
    model = client.create_logged_model(it.build.experiments["plain"], "net", run_id)
    it.build.logged_models["net"] = model.model_id
    client.log_batch(run_id, metrics=[Metric("odd", math.nan, START, 0, model.model_id)])
    client.log_inputs(run_id, models=[LoggedModelInput(model.model_id)])
    client.finalize_logged_model(model.model_id, "READY")


def test_a_logged_model_shows_nan_as_zero_but_its_run_keeps_it(trapped: Trapped) -> None:
    (shown,) = trapped.before.logged_models[trapped.build.logged_models["net"]].metrics or []
    assert shown.value == 0.0
    (model,) = trapped.after.logged_models.values()
    (arrived,) = model.metrics or []
    assert (arrived.key, arrived.value, arrived.run_id) == ("odd", 0.0, trapped.arrived("model links"))
    (point,) = trapped.after.histories[trapped.arrived("model links")]
    assert math.isnan(point.value)


def test_a_search_hides_the_models_a_run_read_but_they_arrive(trapped: Trapped) -> None:
    client, run_id = trapped.build.client, trapped.build.runs["model links"]
    runs = client.search_runs([trapped.build.experiments["plain"]], f"attributes.run_id = '{run_id}'")
    assert runs[0].inputs
    assert not runs[0].inputs.model_inputs
    (model_id,) = trapped.after.logged_models
    inputs = trapped.after.runs[trapped.arrived("model links")].inputs
    assert inputs
    assert [link.model_id for link in inputs.model_inputs] == [model_id]


def _duplicates(it: Trapped) -> None:
    point = Metric("twice", 1.0, START, 1)
    it.build.client.log_batch(it.build.run("duplicates"), metrics=[point, point])
    it.build.client.log_batch(it.build.runs["duplicates"], metrics=[point, Metric("twice", 2.0, START, 1)])


def test_an_equal_point_counts_once_however_often_it_is_written(trapped: Trapped) -> None:
    expected = [1.0, 2.0]
    assert sorted(point.value for point in trapped.before.histories[trapped.build.runs["duplicates"]]) == expected
    report = migrated(trapped.source, trapped.destination, trapped.work_dir, recheck=True)
    assert report.failures == ()
    history = Builder(trapped.destination.url, Path()).client.get_metric_history(trapped.arrived("duplicates"), "twice")
    assert sorted(point.value for point in history) == expected


def _many_values(it: Trapped) -> None:
    run_id = it.build.run("many values")
    params = [Param(f"p{number}", "1") for number in range(201)]
    tags = [RunTag(f"t{number}", "1") for number in range(201)]
    metrics = [Metric(f"m{number % 3}", number, START, number) for number in range(2001)]
    for at in range(0, 2001, 667):
        it.build.client.log_batch(run_id, metrics[at : at + 667])
    for at in range(0, 201, 67):
        it.build.client.log_batch(run_id, (), params[at : at + 67], tags[at : at + 67])


@pytest.mark.parametrize(
    ("what", "number", "entry"),
    [
        ("params", 101, lambda at: {"key": str(at), "value": ""}),
        ("tags", 101, lambda at: {"key": str(at), "value": ""}),
        ("metrics", 1001, lambda at: {"key": "m", "value": 1, "timestamp": START, "step": at}),
    ],
)
def test_one_call_takes_so_many_values_and_no_more(
    trapped: Trapped, what: str, number: int, entry: Callable[[int], dict[str, Any]]
) -> None:
    body = {"run_id": trapped.arrived("many values"), what: [entry(at) for at in range(number)]}
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        _rest(trapped.destination, "runs/log-batch", body)


def test_more_values_than_one_call_takes_arrive(trapped: Trapped) -> None:
    run = trapped.after.runs[trapped.arrived("many values")]
    assert len(run.data.params) == 201
    assert len([key for key in run.data.tags if key.startswith("t")]) == 201
    assert len(trapped.after.histories[run.info.run_id]) == 2001


def _deleted_versions(it: Trapped) -> None:
    it.build.client.create_registered_model("numbers")
    for number in (1, 2, 3):
        it.build.client.create_model_version("numbers", f"s3://bucket/{number}")
        if number < 3:
            it.build.client.delete_model_version("numbers", str(number))


def test_a_deleted_version_keeps_its_number_at_both_ends(trapped: Trapped) -> None:
    assert [number for _, number in trapped.before.versions] == [3]
    assert [number for _, number in trapped.after.versions] == [3]


def test_what_an_old_server_does_not_know_is_dropped_without_a_word(fresh_server: StartServer, old_python: str) -> None:
    # A migration never gets that far: see the tests of old servers.
    server = fresh_server(python=old_python)
    run_id = _rest(server, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    metric = {"key": "loss", "value": 1, "timestamp": START, "step": 0, "model_id": "m-1"}
    assert _rest(server, "runs/log-batch", {"run_id": run_id, "metrics": [metric]}) == {}


def test_prompts_hide_from_searches_but_a_model_of_that_name_is_not_mixed_up_with_one(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server()
    theirs, ours = Builder(destination.url, tmp_path).client, Builder(source.url, tmp_path).client
    theirs.register_prompt("greeting", "Hello {{name}}")
    assert theirs.search_registered_models() == []
    for name in ("greeting", "other"):
        ours.create_registered_model(name)
        ours.create_model_version(name, "s3://bucket/x")

    report = migrated(source, destination, tmp_path)

    assert report.causes["name taken"] == 1
    assert [(name, number) for name, number in read(destination.url).versions] == [("other", 1)]
    assert theirs.get_prompt_version("greeting", "1").template == "Hello {{name}}"


def test_nothing_but_what_was_told_differs(trapped: Trapped) -> None:
    leaves = [line.split(": ")[1] for line in compare(trapped.before, trapped.after)]
    assert sorted(leaves) == ["name", "params / long", "tags / long", "tags / mlflow.runName", "tags / mlflow.runName"]
