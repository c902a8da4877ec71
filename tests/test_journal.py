"""The ledger: what it says is written is on the disk, and nothing less than that is lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint

from bulkexim.errors import FatalError, TemporaryTrouble, UsageError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.ledger.files import LEDGER_NAME
from bulkexim.ledger.journal import Journal
from bulkexim.ledger.opening import journal
from bulkexim.ledger.queries import Failure, Progress, look
from bulkexim.ledger.schema import Row, State

pytestmark = pytest.mark.anyio

RUN = SourceId("run1")


@contextmanager
def another(work_dir: Path) -> Iterator[sqlite3.Connection]:
    """Open the ledger as another program would."""
    with closing(sqlite3.connect(work_dir / LEDGER_NAME)) as connection:
        yield connection


def states(work_dir: Path) -> dict[str, str]:
    """Return what another program sees of each object."""
    with another(work_dir) as connection:
        return dict(connection.execute("select src_id, state from objects").fetchall())


async def test_a_change_is_on_the_disk_when_its_call_returns(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {RUN: "one"})
        assert states(tmp_path) == {"run1": "planned"}
        await ledger.intent("run", RUN, "mlflow-artifacts:/0/run1")
        assert states(tmp_path) == {"run1": "intent"}
        await ledger.created("run", RUN, DestinationId("new1"), "mlflow-artifacts:/1/new1")
        assert states(tmp_path) == {"run1": "created"}
        await ledger.filled("run", RUN, 10)
        assert states(tmp_path) == {"run1": "filled"}
        await ledger.sealed("run", RUN, "d1", written="[]", moved=10, seconds=1.0, notes=[])
        assert states(tmp_path) == {"run1": "sealed"}
        with another(tmp_path) as connection:
            assert connection.execute("pragma journal_mode").fetchone() == ("wal",)


async def test_a_row_says_how_far_an_object_came(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {RUN: "one"})
        await ledger.intent("run", RUN, "src")
        await ledger.withdrawn("run", RUN)
        await ledger.intent("run", RUN, "src")
        await ledger.created("run", RUN, DestinationId("new1"), "dst")
        await ledger.planned("run", {RUN: "another name", SourceId("run2"): "two"})
        found = await ledger.rows("run", [RUN, SourceId("run2"), SourceId("unknown")])
        elsewhere = await ledger.rows("logged model", [RUN])
    row = found[RUN]
    assert found.keys() == {"run1", "run2"}
    assert (row.state, row.name, row.attempts, row.dst_id) == (State.CREATED, "another name", 2, "new1")
    assert (row.src_location, row.dst_location) == ("src", "dst")
    assert row.intent_at > 0
    assert found[SourceId("run2")] == Row(kind="run", src_id=SourceId("run2"), name="two")
    assert elsewhere == {}


async def test_more_objects_can_be_asked_for_than_one_statement_takes(tmp_path: Path) -> None:
    ids = [SourceId(str(number)) for number in range(40_000)]
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", dict.fromkeys(ids, ""))
        assert len(await ledger.rows("run", ids)) == 40_000


async def test_changes_of_many_tasks_share_few_commits(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        with another(tmp_path) as connection:

            async def plan(number: int) -> None:
                await ledger.planned("run", {SourceId(f"run{number}"): ""})

            commits: list[int] = []
            ledger._writing.set_trace_callback(lambda sql: commits.append(1) if sql == "commit" else None)
            async with anyio.create_task_group() as tasks:
                for number in range(500):
                    tasks.start_soon(plan, number)
            assert connection.execute("select count(*) from objects").fetchone() == (500,)
    assert len(commits) <= 3


async def test_a_change_outlives_the_task_that_asked_for_it(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.planned("run", {RUN: "one"})
        assert scope.cancelled_caught
    assert states(tmp_path) == {"run1": "planned"}


async def test_a_change_outlives_the_run_that_is_stopped(tmp_path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with journal(tmp_path) as ledger, anyio.create_task_group() as tasks:
            await ledger.planned("run", {RUN: "one"})
            tasks.start_soon(ledger.intent, "run", RUN, "src")
            await checkpoint()
            scope.cancel()
    assert scope.cancelled_caught
    assert states(tmp_path) == {"run1": "intent"}


async def test_an_error_of_the_run_is_raised_itself_and_what_was_written_stays(tmp_path: Path) -> None:
    async def broken_off() -> None:
        async with journal(tmp_path) as ledger:
            await ledger.planned("run", {RUN: "one"})
            raise TemporaryTrouble("the server is gone")

    with pytest.raises(TemporaryTrouble, match="the server is gone"):
        await broken_off()
    assert states(tmp_path) == {"run1": "planned"}


async def test_a_full_disk_is_temporary_and_nothing_of_before_is_lost(tmp_path: Path) -> None:
    many = {SourceId(f"other{number}"): "a long name " * 50 for number in range(500)}
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {RUN: "one"})
        (pages,) = ledger._writing.execute("pragma page_count").fetchone()
        ledger._writing.execute(f"pragma max_page_count = {pages}")
        failures: list[TemporaryTrouble] = []

        async def plan() -> None:
            try:
                await ledger.planned("run", many)
            except TemporaryTrouble as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(plan)
        assert len(failures) == 3
        assert all("full" in error.problem and "nothing is lost" in error.remedy for error in failures)
        assert states(tmp_path) == {"run1": "planned"}

        ledger._writing.execute("pragma max_page_count = 1000000")
        await plan()
    assert len(states(tmp_path)) == 501


async def test_a_value_that_cannot_be_stored_is_told_to_its_caller_and_the_next_one_is_stored(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {RUN: "one"})
        with anyio.fail_after(10.0):
            with pytest.raises(OverflowError):
                await ledger.filled("run", RUN, 2**70)
            await ledger.filled("run", RUN, 2**40)
        assert states(tmp_path) == {"run1": "filled"}


async def test_another_pair_of_ends_is_refused_once_something_was_begun(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        ledger.bind("http://slip", "http://of the pen")
        await ledger.planned("run", {SourceId("of the slip"): "one"})
        await ledger.recovered("run")
        ledger.bind("http://one", "http://two")
        assert (await ledger.rows("run", [SourceId("of the slip")]), "recovered run" in ledger.setup()) == ({}, False)
        await ledger.planned("run", {RUN: "one"})
        await ledger.intent("run", RUN, "")
        ledger.bind("http://one", "http://two")
    async with journal(tmp_path) as ledger:
        with pytest.raises(FatalError, match="belongs to a migration from http://one, not from http://x") as source:
            ledger.bind("http://x", "http://two")
        with pytest.raises(FatalError, match="belongs to a migration to http://two, not to http://x") as destination:
            ledger.bind("http://one", "http://x")
        with pytest.raises(
            FatalError, match="from http://one to http://two: source and destination are swapped"
        ) as swap:
            ledger.bind("http://two", "http://one")
        assert "add --source-id http://one: with another --work-dir everything would be" in source.value.remedy
        assert "Give another --work-dir" in destination.value.remedy
        assert swap.value.remedy.startswith("Exchange --src-uri and --dst-uri.")
        assert ("--source-id" in swap.value.remedy, swap.value.exit_code) == (False, 7)
        assert ledger.setup()["source"] == "http://one"


async def test_a_ledger_that_another_program_holds_is_not_called_damaged(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        ledger._writing.execute("pragma busy_timeout = 0")
        with another(tmp_path) as connection:
            connection.execute("begin immediate")
            with pytest.raises(TemporaryTrouble, match="another program holds it"):
                await ledger.planned("run", {RUN: "one"})
            connection.rollback()
        await ledger.planned("run", {RUN: "one"})
    assert states(tmp_path) == {"run1": "planned"}


async def test_the_ledger_is_read_while_it_is_written(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {RUN: "one"})
        await ledger.phase("run", 1, 10)
        with closing(look(tmp_path)) as seen:
            assert states(tmp_path) == {"run1": "planned"}
            await ledger.intent("run", RUN, "")
            assert states(tmp_path) == {"run1": "intent"}
            assert seen.phases()["run"][:2] == (1, 10)


def progress(kind: str, found: int) -> Progress:
    return Progress(kind, found, None, 0, 0, found, 0, 0, 0)


async def test_progress_is_seen_in_a_moment_and_forgotten_when_the_next_run_begins(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        with closing(look(tmp_path)) as seen:
            ledger.progressed(progress("run", 1))
            ledger.progressed(progress("experiment", 1))
            ledger.progressed(progress("run", 2))
            # It goes with the next change at the latest.
            await ledger.planned("run", {RUN: "one"})
            assert seen.progress() == [progress("run", 2), progress("experiment", 1)]
            await ledger.reported("{}")
            ledger.progressed(progress("run", 3))
    with closing(look(tmp_path)) as seen:
        assert (seen.progress()[0], seen.report()) == (progress("run", 3), "{}")
    async with journal(tmp_path) as ledger:
        await ledger.started()
        assert (ledger.progress(), ledger.report(), ledger.changed_at()) == ([], None, None)


def test_there_is_nothing_to_look_at_without_a_ledger(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no ledger"):
        look(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def _one_of_each(ledger: Journal) -> None:
    """Write a sealed run, one that failed and was sealed since, one that failed, and a model."""
    ids = [SourceId(f"run{number}") for number in range(3)]
    await ledger.planned("run", dict.fromkeys(ids, "name"))
    await ledger.planned("registered model", {SourceId("m"): "m"})
    for number, src_id in enumerate(ids):
        if number:
            await ledger.failed("run", src_id, "HTTP 413", "Too large.")
        if number < 2:
            await ledger.created("run", src_id, DestinationId(f"new{number}"), "")
            await ledger.sealed("run", src_id, "d", written="", moved=100, seconds=1.0, notes=[("cut", "a key")])


async def test_objects_are_counted_by_kind_and_failures_by_cause(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await _one_of_each(ledger)
        assert ledger.complete_by_kind() == {"run": 2}
        assert ledger.causes() == {"HTTP 413": 1}
        assert list(ledger.failures()) == [Failure("run", SourceId("run2"), "name", "HTTP 413", "Too large.")]
        assert await ledger.placed("run") == ["new0", "new1"]
        assert ledger.known("run")
        assert not ledger.known("trace")


async def test_the_id_map_holds_what_exists_at_the_destination(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await _one_of_each(ledger)
        await ledger.created("registered model", SourceId("m"), DestinationId("renamed"), "")
        assert list(ledger.id_map()) == [
            ("m", "renamed", "registered model"),
            ("run0", "new0", "run"),
            ("run1", "new1", "run"),
        ]


async def test_notes_are_those_of_the_last_seal(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await _one_of_each(ledger)
        await ledger.sealed(
            "run", SourceId("run0"), "d", written="", moved=0, seconds=0.0, notes=[("lost", "a link")] * 2
        )
        ids = [SourceId("run0"), SourceId("run1"), SourceId("run2")]
        assert await ledger.notes("run", ids) == {"run0": [("lost", "a link")], "run1": [("cut", "a key")]}


async def test_an_object_that_is_filled_has_not_failed_any_more(tmp_path: Path) -> None:
    async with journal(tmp_path) as ledger:
        await ledger.planned("experiment", {SourceId("1"): "one"})
        await ledger.failed("experiment", SourceId("1"), "HTTP 413", "Too large.")
        await ledger.filled("experiment", SourceId("1"), 0)
        assert list(ledger.failures()) == []


async def test_what_is_found_at_the_destination_does_not_replace_what_is_known(tmp_path: Path) -> None:
    found = [
        (SourceId("sealed"), "one", DestinationId("a"), "root", "digest"),
        (SourceId("begun"), "two", DestinationId("b"), "root", ""),
        (SourceId("known"), "three", DestinationId("c"), "root", "digest"),
        (SourceId("unsure"), "four", DestinationId("d"), "root", ""),
    ]
    async with journal(tmp_path) as ledger:
        await ledger.planned("run", {SourceId("known"): "three", SourceId("unsure"): "four"})
        await ledger.intent("run", SourceId("known"), "")
        await ledger.created("run", SourceId("known"), DestinationId("first"), "mine")
        await ledger.intent("run", SourceId("unsure"), "")
        await ledger.adopted("run", found)
        rows = await ledger.rows("run", [src_id for src_id, *_ in found])
    assert {src_id: (row.state, row.dst_id) for src_id, row in rows.items()} == {
        "sealed": (State.SEALED, "a"),
        "begun": (State.CREATED, "b"),
        "known": (State.CREATED, "first"),
        "unsure": (State.CREATED, "d"),
    }


async def test_of_two_that_are_found_the_complete_one_is_kept(tmp_path: Path) -> None:
    half, whole = (SourceId("one"), "one", DestinationId("half"), "", ""), DestinationId("whole")
    async with journal(tmp_path) as ledger:
        await ledger.adopted("run", [half])
        await ledger.adopted("run", [(SourceId("one"), "one", whole, "", "digest"), half])
        rows = await ledger.rows("run", [SourceId("one")])
    assert [(row.state, row.dst_id) for row in rows.values()] == [(State.SEALED, "whole")]


async def test_links_are_kept_once_and_found_by_their_run(tmp_path: Path) -> None:
    link = ("run1", "loss", 5, 1, "m-1", 0.5, "", "")
    async with journal(tmp_path) as ledger:
        await ledger.linked([link, link])
        await ledger.linked([link, (*link[:3], 2, *link[4:])])
        found = await ledger.links([RUN, SourceId("run2")])
    assert [(point.step, point.model_id, point.value) for point in found[RUN]] == [(1, "m-1", 0.5), (2, "m-1", 0.5)]


@pytest.mark.parametrize("way", ["forgotten", "vanished"])
async def test_links_of_a_model_go_when_it_is_gone_at_the_destination(tmp_path: Path, way: str) -> None:
    names = {SourceId("m-1"): "one", SourceId("m-2"): "two"}
    async with journal(tmp_path) as ledger:
        await ledger.planned("logged_model", names)
        for src_id in names:
            await ledger.created("logged_model", src_id, DestinationId(f"new {src_id}"), "")
        await ledger.linked([("run1", "loss", 5, 1, src_id, 0.5, "", "") for src_id in names])
        if way == "forgotten":
            await ledger.forgotten("run", SourceId("m-2"))
            await ledger.forgotten("logged_model", SourceId("m-1"))
        else:
            await ledger.vanished("run", DestinationId("new m-2"))
            await ledger.vanished("logged_model", DestinationId("new m-1"))
        found = await ledger.links([RUN])
    assert [point.model_id for point in found[RUN]] == ["m-2"]
