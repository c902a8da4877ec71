"""What is not at the destination is named, counted and in the exit code, unless it was accepted."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.entities import LoggedModelInput, Metric

from bulkexim import Report
from bulkexim.cli.main import main
from bulkexim.engine.apply import Apply
from bulkexim.engine.events import Event, Events, Finished, PhaseStarted, StaysBehind
from bulkexim.engine.moving import Pass
from bulkexim.engine.report import Counting
from bulkexim.errors import UsageError
from bulkexim.kinds import unsupported
from bulkexim.kinds.base import Draft, Filled
from bulkexim.ledger.schema import Row
from bulkexim.left_behind import Cause, LeftBehind
from tests.conftest import StartServer
from tests.fake_kind import Containers, Thing, Things, pair
from tests.support.migrating import left_behind, migrated, planned
from tests.support.servers import Servers
from tests.support.tenant import Tenant
from tests.support.tenant.builder import START, Builder
from tests.support.tenant.small import build_small
from tests.test_bad_inputs.liar import TRUTH, Liar, listening
from tests.tiny_server import Seen, Wire


class Careless(Things):
    """Leaves a value of each thing behind, and a file of it."""

    async def drafts(self, values: Sequence[Thing], *, final: bool) -> Sequence[Draft[Thing]]:
        left = (LeftBehind(Cause.VALUE, "a value"),)
        return [replace(draft, left=left) for draft in await super().drafts(values, final=final)]

    async def fill(self, draft: Draft[Thing], row: Row, details: Any, *, fresh: bool) -> Filled:
        await super().fill(draft, row, details, fresh=fresh)
        return Filled(left=(LeftBehind(Cause.FILE_NAME, "x#y.txt"),))


class CarelessContainers(Careless, Containers):
    """The same, for what holds others."""


async def passed(kind: Things, folder: Path, accept: tuple[str, ...] = ()) -> Report:
    """Moves the things of a fake kind in one pass, with the ledger of ``folder``."""
    counting = Counting(accept)
    async with pair(folder) as ends:
        events = Events(counting)
        moving = Pass(kind, ends, events, Apply(ends, events))
        await moving.run()
        if kind.container:
            await moving.close()
    return counting.report(seconds=0.0, requests={})


def behind(report: Report) -> list[tuple[str, str, str]]:
    return [(str(one.cause), left.id, left.detail) for one in report.left_behind for left in one.first]


@pytest.mark.anyio
async def test_a_run_tells_it_and_so_does_every_later_one(tmp_path: Path) -> None:
    kind = Careless([Thing("a")])
    told = [("file-name", "a", "x#y.txt"), ("value", "a", "a value")]
    first, second = await passed(kind, tmp_path), await passed(kind, tmp_path)
    assert [(one.moved, one.already) for one in (*first.kinds, *second.kinds)] == [(1, 0), (0, 1)]
    assert behind(first) == behind(second) == told
    assert first.exit_code == second.exit_code == 3


@pytest.mark.anyio
async def test_what_holds_others_tells_what_of_it_stays_behind(tmp_path: Path) -> None:
    kind = CarelessContainers([Thing("a")])
    first, second = await passed(kind, tmp_path), await passed(kind, tmp_path)
    told = [("file-name", "a", "x#y.txt"), ("value", "a", "a value")]
    assert behind(first) == behind(second) == told
    assert [(one.moved, one.already) for one in (*first.kinds, *second.kinds)] == [(1, 0), (0, 1)]


@pytest.mark.anyio
async def test_it_ends_with_0_only_where_every_cause_was_accepted(tmp_path: Path) -> None:
    kind = Careless([Thing("a")])
    assert (await passed(kind, tmp_path, ("value",))).exit_code == 3
    accepted = await passed(kind, tmp_path, ("value", "file_name"))
    assert (accepted.exit_code, accepted.not_accepted) == (0, ())
    assert len(behind(accepted)) == 2


@pytest.fixture(scope="module")
def source(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """A tenant with a trace in one of two experiments, and a prompt; read it, never write to it."""
    build = Builder(servers.start().url, tmp_path_factory.mktemp("scratch"))
    for label in ("asked", "quiet"):
        build.experiment(label, label)
    begun = {"experiment_id": build.experiments["asked"], "timestamp_ms": 1_700_000_000_000}
    build.rest("POST", "2.0/mlflow/traces", begun)
    build.client.register_prompt("greeting", "Hello {{name}}")
    return build


def test_a_kind_that_is_not_moved_ends_with_3_unless_it_is_accepted(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    report = migrated(source.url, destination, tmp_path, accept=())
    assert (report.exit_code, report.not_accepted) == (3, ("trace", "prompt"))
    assert migrated(source.url, destination, tmp_path, accept=("trace",)).exit_code == 3
    assert migrated(source.url, destination, tmp_path, accept=("trace", "prompt")).exit_code == 0


@pytest.mark.parametrize(
    ("selection", "left"),
    [
        ({"experiments": ("asked",)}, {"trace"}),
        ({"experiments": ("quiet",)}, set()),
        ({"models": ("greet*",)}, {"prompt"}),
        ({"models": ("other*",)}, set()),
    ],
)
def test_only_what_was_selected_can_stay_behind(
    source: Builder, fresh_server: StartServer, tmp_path: Path, selection: dict[str, Any], left: set[str]
) -> None:
    plan = planned(source.url, fresh_server(), tmp_path, accept=(), **selection)
    assert {kind.kind for kind in plan.uncarried} == left


def test_scorers_of_all_experiments_are_counted(servers: Servers, fresh_server: StartServer, tmp_path: Path) -> None:
    build = Builder(servers.start().url, tmp_path)
    for label in ("one", "two"):
        build.experiment(label, label)
        scorer = {"experiment_id": build.experiments[label], "name": "polite", "serialized_scorer": "{}"}
        build.rest("POST", "3.0/mlflow/scorers/register", scorer)
    plan = planned(build.url, fresh_server(), tmp_path / "work")
    assert {kind.kind: kind.objects for kind in plan.uncarried} == {"scorer": 2}


def test_the_terminal_names_each_thing_and_the_words_to_accept_it(
    source: Builder, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["migrate-workspace", "--src-uri", source.url, "--dst-uri", fresh_server().url, "--progress", "off"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 3
    assert "Left behind at the source:" in result.stdout
    assert "  1  trace: this version does not move the kind" in result.stdout
    assert "Everything is accounted for" not in result.stdout
    assert "--accept trace,prompt" in result.stdout
    accepted = CliRunner().invoke(main, [*args, "--accept", "trace,prompt"])
    assert accepted.exit_code == 0
    assert "  1  trace (accepted)" in accepted.stdout
    assert "Everything is accounted for" in accepted.stdout


def test_a_count_that_ends_early_says_so(
    source: Builder, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server lists traces slowly, so not all are counted."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(unsupported, "TRACES_COUNTED", 1)
    args = ["migrate-workspace", "--src-uri", source.url, "--dst-uri", fresh_server().url, "--progress", "off"]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 3
    assert "  1 or more  trace: this version does not move the kind" in result.stdout


def test_a_version_whose_logged_model_was_left_out_does_not_say_that_it_is_gone(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    source = servers.start()
    client = MlflowClient(source.url, source.url)
    model = client.create_logged_model("0", "net", client.create_run("0").info.run_id)
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("net")
    client.create_model_version("net", f"models:/{model.model_id}", model_id=model.model_id)
    report = migrated(source, fresh_server(), tmp_path, without=("logged_model",))
    ((cause, detail),) = left_behind(report)
    assert cause == Cause.VERSION_SOURCE
    assert "the logged model was left out (--without logged_model)" in detail
    assert "gone" not in detail


def test_artifacts_that_are_no_longer_where_a_server_says_are_told(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    """MLflow lists a folder that is not there as an empty one."""
    source = servers.start()
    MlflowClient(source.url, source.url).create_run("0")
    with closing(sqlite3.connect(source.database)) as database, database:
        database.execute("update runs set artifact_uri = 'file:///moved/away/0/run/artifacts'")
    report = migrated(source, fresh_server(), tmp_path)
    told = {remark.what: remark.example for remark in report.remarks}
    assert "file:///moved/away/0/run/artifacts" in told["artifact root does not exist"]


def test_a_word_that_nothing_is_called_is_refused(source: Builder, fresh_server: StartServer, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'traces'.*Did you mean 'trace'"):
        planned(source.url, fresh_server(), tmp_path, accept=("traces",))


@pytest.fixture(scope="module")
def liar() -> Iterator[Liar]:
    with listening() as liar:
        yield liar


async def _forbidden(seen: Seen, wire: Wire) -> None:
    body = b'{"error_code": "PERMISSION_DENIED", "message": "Permission denied"}'
    await wire.reply(body, "403 Forbidden", "content-type: application/json")


async def _failing(seen: Seen, wire: Wire) -> None:
    await wire.reply(b"<h1>Internal Server Error</h1>", "500 Internal Server Error", "content-type: text/html")


async def _not_logged_in(seen: Seen, wire: Wire) -> None:
    await wire.reply(b"", "401 Unauthorized")


@pytest.mark.parametrize("answer", [_forbidden, _failing, _not_logged_in])
def test_a_kind_that_cannot_be_counted_says_so_and_loses_no_report(liar: Liar, tmp_path: Path, answer: Any) -> None:
    liar.lying({"src POST api/3.0/mlflow/traces/search": answer})
    report = migrated(liar.url("src"), liar.url("dst"), tmp_path)
    assert (report.failures, report.exit_code) == ((), 3)
    (left,) = [left for one in report.left_behind for left in one.first]
    assert (left.kind, left.cause) == ("trace", Cause.NOT_COUNTED)
    assert "could not be counted" in left.detail
    assert migrated(liar.url("src"), liar.url("dst"), tmp_path, accept=("not-counted",)).exit_code == 0


def test_a_file_store_is_not_asked_for_what_it_cannot_hold(liar: Liar, tmp_path: Path) -> None:
    async def experiments(seen: Seen, wire: Wire) -> None:
        assert isinstance(seen.body, bytes)
        found = {} if b"DELETED_ONLY" in seen.body else TRUTH["src POST experiments/search"]
        await wire.reply(json.dumps(found).encode(), "200 OK", "content-type: application/json")

    info = b'{"store_type": "FileStore"}'
    liar.lying({"src GET api/3.0/mlflow/server-info": info, "src POST experiments/search": experiments})
    assert migrated(liar.url("src"), liar.url("dst"), tmp_path).exit_code == 0
    asked = {seen.target.partition("?")[0] for seen in liar.seen}
    assert not {path for path in asked if "webhooks" in path or "gateway" in path or "datasets" in path}


def test_an_experiment_that_is_renamed_meanwhile_loses_no_report(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    build = Builder(servers.start().url, tmp_path)
    build_small(build)
    client = MlflowClient(build.url)

    def rename(event: Event) -> None:
        if isinstance(event, PhaseStarted) and event.kind == "run" and build.experiments:
            client.rename_experiment(build.experiments.pop("plain"), "another name")
            build.experiments.clear()

    heard: list[Event] = []
    report = migrated(
        build.url, fresh_server(), tmp_path / "work", rename, heard.append, experiments=("small experiment",)
    )
    assert report.failures == ()
    assert any(isinstance(event, Finished) and event.name == "parent" for event in heard)
    told = [event for event in heard if isinstance(event, StaysBehind)]
    assert [(event.kind, event.cause) for event in told] == [("last look", Cause.NOT_COUNTED)]
    assert report.exit_code == 3


def test_traces_of_a_server_that_has_only_the_second_version_of_their_api_are_counted(
    old_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    plan = planned(old_tenant.url, fresh_server(), tmp_path)
    assert {kind.kind: kind.objects for kind in plan.uncarried}["trace"] == len(old_tenant.traces) > 0


def test_what_belongs_to_objects_that_are_not_moved_is_told(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    build = Builder(servers.start().url, tmp_path)
    build.experiment("plain", "plain")
    measured, reader = build.run("measured"), build.run("reader")
    kept, gone = (
        build.client.create_logged_model(build.experiments["plain"], name).model_id for name in ("kept", "gone")
    )
    build.client.log_batch(measured, [Metric("accuracy", 0.9, START, step, kept) for step in range(3)])
    build.client.log_inputs(reader, models=[LoggedModelInput(gone)])
    build.client.finalize_logged_model(kept, "READY")
    build.client.delete_run(measured)
    build.client.delete_logged_model(gone)
    destination = fresh_server()

    first = migrated(build.url, destination, tmp_path / "work")
    second = migrated(build.url, destination, tmp_path / "work")

    told = [
        ("link", reader, f"input {gone}: this logged model was not moved"),
        ("value", kept, f"3 metric points: their run {measured} was not moved"),
    ]
    assert behind(first) == behind(second) == told
    assert (first.failures, first.exit_code, second.exit_code) == ((), 3, 3)
