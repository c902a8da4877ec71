"""What one question does not answer is told by its path, and everything else of the object is compared."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from bulkexim.config import Level
from bulkexim.engine.verification import Finding, Tally, Verdict
from bulkexim.ids import SourceId
from bulkexim.kinds.compare.accepting import cause_of, noted_cause
from bulkexim.kinds.compare.difference import ABSENT, Difference, NotCompared, Unread, differences
from bulkexim.kinds.compare.files import Files
from bulkexim.kinds.compare.histories import Histories
from bulkexim.kinds.compare.metrics import MetricReader
from bulkexim.kinds.compare.records import Point
from bulkexim.kinds.compare.roots import DEEPEST, Root, Seen, serviced
from bulkexim.left_behind import Cause, LeftBehind
from tests.conftest import StartServer
from tests.support.answering import Folder, answering, listing
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer
from tests.support.verifying import told, verified

ROOT = "1/run/artifacts"
FAULT = httpx.Response(500, text="500 Internal Server Error")


async def shown(folders: dict[str, Folder], root: str = ROOT) -> tuple[set[str], set[str]]:
    """Return the files that the artifact service shows, and what it does not give."""
    found = await serviced(listing(folders), root).shown()
    return set(found.files), set(found.unread)


@pytest.mark.anyio
async def test_a_folder_that_cannot_be_listed_stops_no_other() -> None:
    entries: list[tuple[str, int | None]] = [("a", 1), ("bad", None), ("z", None)]
    folders: dict[str, Folder] = {ROOT: entries, f"{ROOT}/bad": FAULT, f"{ROOT}/z": [("b", 2)]}
    assert await shown(folders) == ({"a", "z/b"}, {"bad/"})
    assert await shown({ROOT: FAULT}) == (set(), {""})


@pytest.mark.anyio
async def test_a_folder_that_is_taken_for_another_is_not_read_as_empty_or_as_that_other() -> None:
    entries: list[tuple[str, int | None]] = [("c d", None), ("c%20d", None), ("e%20f", None), ("100%", None)]
    inside: Folder = [("f", 1)]
    folders: dict[str, Folder] = {ROOT: entries, f"{ROOT}/c d": inside, f"{ROOT}/c%20d": inside}
    assert await shown(folders) == ({"c d/f"}, {"c%20d/", "e%20f/"})


@pytest.mark.anyio
async def test_folders_without_an_end_are_told_and_end() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["path"])
        return httpx.Response(200, json={"files": [{"path": name, "is_dir": True} for name in ("again", "and again")]})

    found = await serviced(answering(answer), ROOT).shown()
    assert len(asked) < 2 * DEEPEST
    assert (found.files, len(found.unread)) == ({}, len(asked) + 1)


@pytest.mark.anyio
async def test_a_folder_on_this_machine_tells_what_it_does_not_give(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["d"] * (DEEPEST + 1))
    deep.mkdir(parents=True)
    (deep / "f").write_bytes(b"1")
    (tmp_path / "fine").write_bytes(b"2")
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "up").symlink_to(".")
    found = await Seen(tmp_path).shown()
    assert set(found.files) == {"fine"}
    assert set(found.unread) == {"gone", "up/", "/".join(["d"] * (DEEPEST + 1)) + "/f"}
    missing = await Seen(tmp_path / "missing").shown()
    assert (missing.files, missing.unread) == ({}, {})


@pytest.mark.anyio
async def test_of_what_one_side_does_not_give_the_other_says_nothing() -> None:
    entries: list[tuple[str, int | None]] = [("a", 1), ("bad", None)]
    source = listing({ROOT: entries, f"{ROOT}/bad": FAULT})
    destination = listing({"9/it": entries, "9/it/bad": [("b", 1)]}, "destination")
    files = Files(Level.CONTENT)
    roots = [
        Root(server, f"mlflow-artifacts:/{path}", "logged_model", "m", gone=True)
        for server, path in ((source, ROOT), (destination, "9/it"))
    ]
    for one, other in (roots, roots[::-1]):
        sides = await files.sides(one, other, {})
        [told] = differences(sides.expected, sides.found)
        assert isinstance(told, NotCompared)
        assert (told.field, told.temporary) == ("artifacts / bad/", False)


@pytest.mark.anyio
async def test_a_file_whose_bytes_cannot_be_read_is_told_alone() -> None:
    here = listing({ROOT: [("a", 1), ("MLmodel", 1)]})
    root = Root(here, f"mlflow-artifacts:/{ROOT}", "logged_model", "m", gone=True)
    for level, unread in ((Level.CONTENT, {"MLmodel"}), (Level.FULL, {"MLmodel", "a"})):
        sides = await Files(level).sides(root, root, {})
        assert {one.field for one in differences(sides.expected, sides.found)} == {
            f"artifacts / {name}" for name in unread
        }


@pytest.mark.anyio
async def test_a_history_that_cannot_be_read_is_told_by_its_metric() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        key = request.url.params["metric_key"]
        value = 1.0 if request.url.host.startswith("source") else 2.0
        points = [{"key": key, "value": value, "timestamp": 1, "step": 0}]
        return FAULT if key == "bad" else httpx.Response(200, json={"metrics": points})

    histories = [
        Histories(answering(answer, name), {"run": [Point("bad", 1.0, 1, 0), Point("good", 1.0, 1, 0)]})
        for name in ("source", "destination")
    ]
    sides = await MetricReader(histories[0], histories[1]).sides("run", "run")
    told = {one.field: type(one) for one in differences(sides.expected, sides.found)}
    assert told == {"bad": NotCompared, "good / step 0, time 1": Difference}


def test_what_is_not_given_is_neither_the_same_nor_different() -> None:
    unread = Unread("nobody knows", temporary=True)
    assert list(differences({"a": unread, "b": 1}, {"a": 1, "b": unread})) == [
        NotCompared("a", "nobody knows", temporary=True),
        NotCompared("b", "nobody knows", temporary=True),
    ]


def missing(field: str) -> Difference:
    return Difference(field, "1 bytes", ABSENT)


def test_a_cause_is_that_of_the_very_file_or_of_a_folder_above_it() -> None:
    left = [
        LeftBehind(Cause.FILE_UNREADABLE, "data/: it cannot be listed: HTTP 500"),
        LeftBehind(Cause.FILE_REFUSED, "big (9 bytes): too large"),
        LeftBehind(Cause.FILE_NAME, "a#b: the source takes no such name"),
    ]
    expected = {"data/x": "file-unreadable", "data/y/z": "file-unreadable", "big": "file-refused", "a#b": "file-name"}
    for path, cause in expected.items():
        assert noted_cause("run", missing(f"artifacts / {path}"), left) == cause
    assert noted_cause("run", NotCompared("artifacts / data/", "HTTP 500"), left) == "file-unreadable"
    for path in ("a", "b", "dat", "source", "data", "x"):
        assert cause_of("run", missing(f"artifacts / {path}"), left) is None
    whole = [LeftBehind(Cause.FILE_UNREADABLE, "every file: it cannot be listed")]
    assert noted_cause("run", NotCompared("artifacts / every file", "HTTP 500"), whole) == "file-unreadable"
    assert noted_cause("run", missing("artifacts / any/of them"), whole) == "file-unreadable"
    # Without a record a name may tell; that it was left behind, nobody said.
    assert (
        cause_of("run", missing("artifacts / c%20d"), []),
        noted_cause("run", missing("artifacts / c%20d"), []),
    ) == (
        "file-name",
        None,
    )


def test_a_point_is_left_behind_with_its_own_run_only() -> None:
    left = [LeftBehind(Cause.VALUE, "1 metric points: their run abc was not moved")]
    assert noted_cause("logged_model", missing("metrics / acc of run abc / step 0"), left) == "value"
    assert noted_cause("logged_model", missing("metrics / acc of run def / step 0"), left) is None


def test_what_was_left_behind_is_not_to_be_moved_again() -> None:
    both = (missing("artifacts / a#b"), missing("tags / team"))
    alone = Finding(
        kind="run",
        verdict=Verdict.DIFFERS,
        name="r",
        id=SourceId("1"),
        differences=both[:1],
        left_behind={"artifacts / a#b": Cause.FILE_NAME},
    )
    besides = Finding(
        kind="run", verdict=Verdict.DIFFERS, name="r", id=SourceId("2"), differences=both, left_behind=alone.left_behind
    )
    assert (alone.mendable, besides.mendable) == (False, True)
    tally = Tally(Level.CONTENT)
    tally.found(alone)
    tally.found(besides)
    found = tally.verification(seconds=0.0, requests={})
    assert (found.mendable, found.kept_back, found.left_behind) == (1, 1, {"file-name": 2})


def _folder_of(server: MlflowServer, run_id: str) -> Path:
    uri = str(MlflowClient(server.url, server.url).get_run(run_id).info.artifact_uri)
    return server.artifacts / uri.removeprefix("mlflow-artifacts:/")


def test_odd_folders_hide_no_difference_of_their_run(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    client = MlflowClient(source.url, source.url)
    run_id = client.create_run("0", run_name="odd").info.run_id
    client.log_metric(run_id, "loss", 1.0)
    client.set_terminated(run_id)
    for name in ("a#b/f", "c%20d/f", "fine/f", "top"):
        (_folder_of(source, run_id) / name).parent.mkdir(parents=True, exist_ok=True)
        (_folder_of(source, run_id) / name).write_bytes(b"1")
    assert migrated(source, destination, tmp_path).exit_code == 3
    odd = {"artifacts / a#b/", "artifacts / c%20d/"}
    found = verified(source, destination, work_dir=tmp_path)
    [finding] = found.findings
    assert (finding.verdict, {field.field for field in finding.unread}) == (Verdict.NOT_COMPARABLE, odd)
    assert (found.exit_code, finding.temporary) == (3, False)
    accepting = verified(source, destination, work_dir=tmp_path, accept=("file-name",))
    assert (accepting.exit_code, accepting.accepted) == (0, {"file-name": 2})

    other = MlflowClient(destination.url, destination.url)
    [arrived] = other.search_runs(["0"])
    other.set_tag(arrived.info.run_id, "bulkexim.source.run_id", run_id)
    other.set_tag(arrived.info.run_id, "team", "b")
    (_folder_of(destination, arrived.info.run_id) / "top").write_bytes(b"22")
    found = verified(source, destination, Level.FULL, work_dir=tmp_path)
    [finding] = found.findings
    assert {one.field for one in finding.differences} == {"tags / team", "artifacts / top"}
    assert {field.field for field in finding.unread} == odd
    assert found.exit_code == 4
    assert told(found)
