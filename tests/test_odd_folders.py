"""A folder that cannot be listed, named or written stays behind alone, by its path, and what is beside it arrives."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import httpx
import pytest
from mlflow import MlflowClient

from bulkexim import Report
from bulkexim.artifacts.copier import Copier
from bulkexim.artifacts.names import DEEPEST, LONGEST
from bulkexim.artifacts.on_disk import OnDisk
from bulkexim.artifacts.owned import OfRun
from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.seen import Seen
from bulkexim.artifacts.two_ways import TwoWays
from bulkexim.artifacts.walking import walk
from bulkexim.config import Endpoint
from bulkexim.ends.server import connected
from bulkexim.errors import BulkeximError, Lost, TemporaryTrouble
from bulkexim.http.retry import Traffic
from bulkexim.ids import SourceId
from bulkexim.kinds.files import RunFolders
from bulkexim.kinds.run_values import Run, RunInfo
from tests.conftest import StartServer
from tests.support.answering import Folder, answering, listing
from tests.support.copying import copied
from tests.support.migrating import left_behind, migrated, planned
from tests.support.servers import MlflowServer

ROOT = "1/run/artifacts"
FAULT = httpx.Response(500, text="500 Internal Server Error")
NEGATIVE: list[tuple[str, int | None]] = [("damaged", -1)]
OFF = httpx.Response(503, text="Endpoint: /x disabled due to the mlflow server running with `--no-serve-artifacts`")


async def walked(place: Place) -> list[Entry]:
    return sorted([entry async for entry in walk(place)])


def left(entries: Sequence[Entry]) -> dict[str, str]:
    """Return the causes of what stays behind, by the path with which each sentence begins."""
    return {entry.left.detail.partition(": ")[0]: str(entry.left.cause) for entry in entries if entry.left}


def going(entries: Sequence[Entry]) -> list[str]:
    """Return the paths of the files that go on."""
    return [entry.path for entry in entries if entry.left is None]


@pytest.mark.anyio
@pytest.mark.parametrize("reply", [FAULT, NEGATIVE], ids=["a fault", "a damaged entry"])
async def test_a_folder_on_which_its_server_always_fails_stays_behind_alone(reply: Folder) -> None:
    source = listing({ROOT: [("a", 1), ("bad", None), ("z", None)], f"{ROOT}/bad": reply, f"{ROOT}/z": [("b", 2)]})
    found = await walked(Proxied(source, ROOT))
    assert (going(found), left(found)) == (["a", "z/b"], {"bad/": "file-unreadable"})


@pytest.mark.anyio
async def test_a_root_on_which_its_server_always_fails_stays_behind_whole() -> None:
    found = await walked(Proxied(listing({ROOT: FAULT}), ROOT))
    assert (going(found), left(found)) == ([], {"every file": "file-unreadable"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (httpx.Response(503), TemporaryTrouble),
        (httpx.Response(502, text="<html>"), TemporaryTrouble),
        (httpx.ConnectError("refused"), TemporaryTrouble),
        (httpx.Response(504), BulkeximError),
        (httpx.ReadError("lost"), Lost),
        (httpx.Response(200, text="<html>Please log in"), BulkeximError),
    ],
    ids=["busy", "a gateway", "not there", "too slow", "a lost connection", "a page"],
)
async def test_a_server_that_is_away_leaves_no_folder_behind(reply: Folder, error: type[Exception]) -> None:
    with pytest.raises(error):
        await walked(Proxied(listing({ROOT: [("a", None)], f"{ROOT}/a": reply}), ROOT))


@pytest.mark.anyio
async def test_a_run_beside_which_nothing_can_be_listed_is_asked_for_its_files_itself() -> None:
    folders = RunFolders(listing({"1": FAULT}))
    [run] = folders.page(
        [
            Run(
                info=RunInfo(
                    run_id=SourceId("run"), experiment_id=SourceId("1"), artifact_uri=f"mlflow-artifacts:/{ROOT}"
                )
            )
        ]
    )
    assert await folders.may_have_artifacts(run)


@pytest.mark.anyio
async def test_how_deep_a_file_lies_counts_below_its_root() -> None:
    folders: dict[str, Folder] = {}
    names = [f"d{number}" for number in range(DEEPEST + 2)]
    for number, name in enumerate(names):
        folders["/".join([ROOT, *names[:number]])] = [(name, None), ("file", 1)]
    found = await walked(Proxied(listing(folders), ROOT))
    assert len(going(found)) == DEEPEST + 1
    deepest = "/".join(names[:-1])
    assert left(found) == {f"{deepest}/{names[-1]}/": "file-name", f"{deepest}/file": "file-name"}


@pytest.mark.anyio
async def test_folders_without_an_end_are_named_and_end() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params["path"])
        return httpx.Response(200, json={"files": [{"path": name, "is_dir": True} for name in ("again", "and again")]})

    found = await walked(Proxied(answering(answer), ROOT))
    assert len(asked) < 2 * DEEPEST
    assert going(found) == []
    assert set(left(found).values()) == {"file-name"}
    # Every folder is accounted for: it was listed, or it is named.
    assert len(left(found)) == len(asked) + 1


@pytest.mark.anyio
async def test_a_path_that_is_too_long_with_its_root_stays_behind_alone(tmp_path: Path) -> None:
    long = "/".join(["x" * 200] * 20) + "/"
    name = "y" * (LONGEST - len(long))
    source = listing({ROOT: [("a", 1), (f"{long}{name}", 2), ("z", None)], f"{ROOT}/z": [("b", 3)]})
    found = await walked(Proxied(source, ROOT))
    assert (going(found), left(found)) == (["a", "z/b"], {long + name: "file-name"})
    # A root that is longer at the destination takes fewer of them.
    for place in (Proxied(source, ROOT), Seen(tmp_path, ROOT, Traffic())):
        refused = place.declined(long + name, 2)
        assert refused is not None
        assert (refused.cause, refused.detail.startswith(f"{long}{name}: ")) == ("file-name", True)


@pytest.mark.anyio
@pytest.mark.parametrize("root", ["1/a#b/artifacts", "../../etc", "1//2"])
async def test_a_root_that_no_request_can_name_stays_behind_by_name(root: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError(request.url)

    source = answering(answer)
    service = Proxied(source, root)
    for place in (service, TwoWays(service, OfRun(source, "run"))):
        assert left(await walked(place)) == {"every file": "file-name"}
    refused = service.declined("a", 1)
    assert refused is not None
    assert refused.cause == "file-name"


@pytest.mark.anyio
async def test_a_link_deeper_than_this_machine_takes_paths_stops_no_other(tmp_path: Path) -> None:
    folder, place = tmp_path, tmp_path
    parts = 0
    while len(str(folder)) < LONGEST - 400:
        folder, parts = folder / ("x" * 200), parts + 1
    # Made and entered a part at a time: the whole path is longer than one call takes.
    before = Path.cwd()
    try:
        folder.mkdir(parents=True)
        os.chdir(folder)
        for _ in range(3):
            Path("y" * 200).mkdir()
            os.chdir("y" * 200)
        Path("link").symlink_to("nowhere")
    finally:
        os.chdir(before)
    (place / "file").write_bytes(b"1")
    found = await walked(OnDisk(Seen(place, "", Traffic()), place))
    assert going(found) == ["file"]
    assert set(left(found).values()) <= {"file-unreadable", "file-name"}
    assert len(left(found)) == 1


@pytest.mark.anyio
async def test_an_empty_folder_in_one_of_its_own_name_is_nothing(small_server: MlflowServer) -> None:
    (small_server.artifacts / "7/empty/x/x/x").mkdir(parents=True)
    async with connected(Endpoint(uri=small_server.url), "source") as source:
        assert await walked(Proxied(source, "7/empty")) == []


@pytest.mark.anyio
async def test_a_source_without_its_artifact_service_leaves_the_files_behind_and_says_what_helps() -> None:
    source = listing({ROOT: OFF})
    [root] = await walked(TwoWays(Proxied(source, ROOT), OfRun(source, "run")))
    assert root.left is not None
    assert root.left.cause == "file-unreadable"
    assert root.left.detail.startswith("every file: ")
    assert "Start the source with --serve-artifacts" in root.left.detail


@pytest.mark.anyio
async def test_a_destination_without_its_artifact_service_refuses_each_file_and_is_asked_once(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"file {number}").write_bytes(b"1")
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return OFF

    destination = answering(answer, "destination")
    copier = Copier(destination.client, destination.client, limit=anyio.CapacityLimiter(1))
    brought = await copied(copier, Seen(tmp_path, "", Traffic()), Proxied(destination, ROOT))
    assert brought.paths_left == {f"file {number}": "file-refused" for number in range(40)}
    assert "Start the destination with --serve-artifacts" in brought.left[0].detail
    assert len(asked) <= 2, "a file may be on its way when the first one is refused"


def a_run(server: MlflowServer, name: str) -> Path:
    """Makes a run that ended, and returns the folder of its files, with one in it."""
    client = MlflowClient(server.url, server.url)
    run = client.create_run("0", run_name=name)
    client.set_terminated(run.info.run_id)
    folder = server.artifacts / str(run.info.artifact_uri).removeprefix("mlflow-artifacts:/")
    folder.mkdir(parents=True)
    (folder / "good").write_bytes(b"1")
    return folder


def statuses(server: MlflowServer) -> set[str]:
    return {run.info.status for run in MlflowClient(server.url, server.url).search_runs(["0"])}


def not_there(report: Report) -> set[tuple[str, str]]:
    """Return what stayed behind, by cause and path."""
    return {(cause, detail.partition(": ")[0]) for cause, detail in left_behind(report)}


def test_runs_with_folders_that_the_source_cannot_list_are_finished_without_them(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server()
    inside, at_root = a_run(source, "inside"), a_run(source, "at the root")
    (inside / "bad").mkdir()
    spoilt = [folder / os.fsdecode(b"x\xff") for folder in (inside / "bad", at_root)]
    for path in spoilt:
        path.write_bytes(b"2")
    deepest = a_run(source, "deep").joinpath(*["d"] * 99)
    deepest.mkdir(parents=True)
    (deepest / "f").write_bytes(b"3")
    for _ in range(2):
        report = migrated(source, destination, tmp_path)
        assert (report.failures, report.exit_code, report.temporary) == ((), 3, False)
        assert not_there(report) == {("file-unreadable", "bad/"), ("file-unreadable", "every file")}
        assert statuses(destination) == {"FINISHED"}
    stored = {path.name for path in destination.artifacts.rglob("*") if path.is_file()}
    assert stored == {"good", "f"}
    for path in spoilt:
        path.unlink()
    assert migrated(source, destination, tmp_path).exit_code == 0


def test_files_of_an_artifact_service_that_is_switched_off_stay_behind_and_all_else_arrives(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    """Roots that were made while it was on stay in its care."""
    off = fresh_server(args=["--no-serve-artifacts", "--default-artifact-root", "mlflow-artifacts:/"])
    on = fresh_server()
    a_run(on, "with a file")
    plan = planned(on, off, tmp_path / "to")
    assert plan.exit_code == 3
    assert planned(on, off, tmp_path / "to", accept=("file-refused",)).exit_code == 0
    assert ["Start the destination with --serve-artifacts" in one.problem for one in plan.obstacles] == [True]
    report = migrated(on, off, tmp_path / "to")
    assert (report.failures, report.exit_code) == ((), 3)
    assert not_there(report) == {("file-refused", "good")}
    assert statuses(off) == {"FINISHED"}
    other = fresh_server()
    report = migrated(off, other, tmp_path / "from")
    assert (report.failures, report.exit_code) == ((), 3)
    assert not_there(report) == {("file-unreadable", "every file")}
    assert statuses(other) == {"FINISHED"}


@pytest.mark.anyio
async def test_a_fault_that_a_server_gets_over_fails_no_folder() -> None:
    replies = iter([FAULT, FAULT])

    def answer(request: httpx.Request) -> httpx.Response:
        return next(replies, httpx.Response(200, json={"files": [{"path": "a", "file_size": 1}]}))

    assert going(await walked(Proxied(answering(answer), ROOT))) == ["a"]
