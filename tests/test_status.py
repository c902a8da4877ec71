"""What ``bulkexim status`` says: what the last run selected, each object once, as its report and view had it."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import anyio
from click.testing import CliRunner
from mlflow import MlflowClient

from bulkexim import Report, Settings, migrate
from bulkexim.cli import standing
from bulkexim.cli.main import main
from bulkexim.cli.standing import KindStanding, Standing
from bulkexim.engine.counts import Counts
from bulkexim.engine.events import Event, Finished, PhaseStarted, Stepped
from bulkexim.ids import SourceId
from bulkexim.ledger.opening import journal
from bulkexim.ledger.queries import look
from bulkexim.left_behind import UNSUPPORTED_KINDS
from tests.conftest import StartServer
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant


def status(work_dir: Path) -> Standing:
    with closing(look(work_dir)) as queries:
        return standing.read(queries, work_dir)


def said(work_dir: Path, *args: str) -> str:
    result = CliRunner().invoke(main, ["status", "--work-dir", str(work_dir), *args])
    assert result.exit_code == 0, result.output
    return result.stdout


def columns(kind: KindStanding) -> tuple[int, ...]:
    return kind.complete, kind.in_progress, kind.waiting, kind.failed, kind.skipped


def each_once(told: Standing) -> bool:
    return all(kind.found == sum(columns(kind)) for kind in told.kinds)


def agrees(told: Standing, report: Report) -> bool:
    """Whether status shows the numbers of the table, and every object in one column."""
    ours = {kind.kind: (kind.found, kind.complete, kind.failed, kind.skipped, kind.bytes) for kind in told.kinds}
    theirs = {
        kind.kind: (kind.found, kind.already + kind.moved, kind.failed, kind.skipped, kind.bytes)
        for kind in report.kinds
    }
    return each_once(told) and ours == theirs


def test_other_selections_of_the_same_ledger_are_not_counted(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    # The versions bring runs and a logged model that no selection names.
    for chosen in ({"models": ("small model",)}, {"experiments": ("small experiment",)}, {"experiments": ("*empty",)}):
        report = migrated(small_tenant.url, destination, tmp_path, **chosen)
        told = status(tmp_path)
        assert agrees(told, report)
        assert (told.unfinished, told.running, told.report) == (False, False, report)
    text = said(tmp_path)
    assert "No process is at work; the last run came to its end. Everything is accounted for." in text
    assert [line.split()[:3] for line in text.splitlines() if line.startswith("experiment")] == [
        ["experiment", "1", "1"]
    ]


def test_what_failed_is_in_one_column_and_earlier_failures_are_told_apart(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    MlflowClient(destination.url).create_registered_model("small model")
    report = migrated(small_tenant.url, destination, tmp_path)
    told = status(tmp_path)
    assert agrees(told, report)
    versions = next(kind for kind in told.kinds if kind.kind == "model_version")
    assert columns(versions) == (0, 0, 0, 2, 0)
    assert (told.causes, told.failed_before) == (report.causes, 0)
    assert "Failed: 3" in said(tmp_path)

    report = migrated(small_tenant.url, destination, tmp_path, experiments=("*empty",))
    told = status(tmp_path)
    assert agrees(told, report)
    assert (told.failed, told.failed_before) == (0, 3)
    assert "Failed in earlier runs, and not tried again by the last one: 3." in said(tmp_path)
    assert len(said(tmp_path, "--failures").splitlines()) == 3


def test_what_was_left_out_has_a_column_of_its_own(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    report = migrated(small_tenant.url, fresh_server(), tmp_path, without=("registered_model",))
    assert agrees(status(tmp_path), report)
    assert sum(kind.skipped for kind in status(tmp_path).kinds) == 3


def stopped_at(when: Callable[[Event], bool], source: Tenant, destination: MlflowServer, work_dir: Path) -> Counts:
    """Migrates until something happens, as Ctrl-C would; returns what a view counted."""
    counts = Counts()

    async def run() -> None:
        with anyio.CancelScope() as scope:

            def listen(event: Event) -> None:
                counts(event)
                if when(event):
                    scope.cancel()

            settings = Settings(work_dir=work_dir, accept=UNSUPPORTED_KINDS)
            await migrate(source.url, destination.url, settings, listeners=[listen])

    anyio.run(run)
    return counts


def test_after_an_interruption_status_says_what_the_view_showed(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    for when in (
        # A run is created for the logged model that came from it, before runs are listed.
        lambda event: isinstance(event, Stepped) and event.kind == "run" and event.state == "created",
        lambda event: isinstance(event, PhaseStarted) and event.kind == "logged_model",
        lambda event: isinstance(event, Stepped) and event.kind == "run" and event.state == "filled",
        lambda event: isinstance(event, Finished) and event.kind == "run",
        lambda event: isinstance(event, Finished) and event.kind == "registered_model",
    ):
        counts = stopped_at(when, small_tenant, destination, tmp_path)
        told = status(tmp_path)
        assert each_once(told)
        assert told.report is None
        assert [(kind.kind, kind.found, kind.complete, kind.in_progress, kind.failed) for kind in told.kinds] == [
            (one.kind, one.found, one.complete, len(one.shares), one.failed) for one in counts.values()
        ]
        complete, objects = (sum(getattr(one, name) for one in counts.values()) for name in ("complete", "objects"))
        assert f"No process is at work: {complete} of {objects} objects found so far are complete." in said(tmp_path)

    report = migrated(small_tenant.url, destination, tmp_path)
    assert agrees(status(tmp_path), report)


def test_what_was_taken_back_since_is_not_complete(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    migrated(small_tenant.url, fresh_server(), tmp_path)

    async def forget() -> None:
        async with journal(tmp_path) as ledger:
            await ledger.forgotten("run", SourceId(small_tenant.runs["child"]))

    anyio.run(forget)
    told = status(tmp_path)
    assert each_once(told)
    assert told.unfinished
    assert "To go on, run the same migration again." in said(tmp_path)
    assert json.loads(said(tmp_path, "--json"))["running"] is False


def test_a_ledger_without_numbers_says_so(tmp_path: Path) -> None:
    async def write() -> None:
        async with journal(tmp_path) as ledger:
            await ledger.planned("run", {SourceId("1"): "one"})
            await ledger.sealed("run", SourceId("1"), "d", written="", moved=0, seconds=0.0, notes=[])

    anyio.run(write)
    assert "the last run left no numbers; 1 objects of all runs are complete" in said(tmp_path)
