"""Names of files: each end is asked what it can name itself, and what it cannot stays behind alone, by its name."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from mlflow import MlflowClient

from bulkexim import Endpoint
from bulkexim.artifacts.copier import Copier
from bulkexim.artifacts.failing import Refusals
from bulkexim.artifacts.owned import OfRun
from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.places import place
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.seen import Seen
from bulkexim.artifacts.served_names import taken_for
from bulkexim.ends.capabilities import Capabilities
from bulkexim.ends.server import Server, connected
from bulkexim.errors import Refused, ServerFault
from bulkexim.http.retry import Patience
from bulkexim.left_behind import Cause
from tests.conftest import StartServer
from tests.support.copying import Brought, copied
from tests.support.migrating import left_behind, migrated, of, planned
from tests.support.object_storage import BUCKET, ObjectStorage, object_storage
from tests.support.servers import ADMIN, MlflowServer, Servers

QUICK = Patience(seconds=20.0, longest_pause=0.01, fault_tries=2)
ROOT = "0/run/artifacts"

#: What a path below a root is to the releases before 2.9.2, from there, from 2.12.2, and from 2.20.0 (found by asking
#: real ones for it): ``None`` where they accept it from nobody, "" where it stays the same.
MEANT: dict[str, tuple[str | None, str | None, str | None, str | None]] = {
    "plain.txt": ("", "", "", ""),
    "100% done": ("", "", "", ""),
    "%zz %": ("", "", "", ""),
    "what?x=1;2&3": ("", "", "", ""),
    "C:/in/x.txt": ("", "", "", ""),
    "a\\b": ("", "", "", ""),
    "ä": ("", "", "", ""),
    "lr%20high": ("", "lr high", "lr high", "lr high"),
    "%2541": ("", "A", "A", "A"),
    "what?": ("", "", "what", "what"),
    "semi;": ("", "", "semi", "semi"),
    "a#b": ("", None, None, None),
    "a%23b": ("", None, None, None),
    "..%2Fup": ("", None, None, None),
    "tab\tx": ("", "", "tabx", "tabx"),
    "\x17": ("", "", "", "%17"),
    "%17": ("", "\x17", "\x17", ""),
    # As ``mlflow.log_image`` of 2.13 to 3.10 named its files, and as a server wrote what a client sent it so.
    "images/a%step%0%timestamp%1718000000000%1f": (
        "",
        "images/a%step%0%timestamp\x1718000000000\x1f",
        "images/a%step%0%timestamp\x1718000000000\x1f",
        "",
    ),
    "images/a%step%0%timestamp%1718000000000%a3": (
        "",
        "images/a%step%0%timestamp\x1718000000000\ufffd",
        "images/a%step%0%timestamp\x1718000000000\ufffd",
        "images/a%step%0%timestamp%1718000000000\ufffd",
    ),
    "images/a%step%0%timestamp%1718000000000\ufffd": (
        "",
        "images/a%step%0%timestamp\x1718000000000\ufffd",
        "images/a%step%0%timestamp\x1718000000000\ufffd",
        "",
    ),
}
RELEASES = (
    ("1.30.1", "2.9.1"),
    ("2.9.2", "2.12.1"),
    ("2.12.2", "2.19.0"),
    ("2.20.0", "2.22.5", "3.17.2", "4.0.0.dev0"),
)


@pytest.mark.parametrize("path", MEANT)
def test_a_path_is_what_a_server_of_each_release_takes_it_for(path: str) -> None:
    for meant, releases in zip(MEANT[path], RELEASES, strict=True):
        for text in releases:
            taken = taken_for(f"{ROOT}/{path}", Capabilities((0, 0), text))
            expected = None if meant is None else f"{ROOT}/{meant}" if meant else f"{ROOT}/{path}"
            assert taken == expected, text


def test_a_server_that_does_not_tell_its_release_may_follow_any_rule() -> None:
    assert taken_for("0/%17", Capabilities((3, 15), "3.15 or newer")) == "0/%17"
    unknown = Capabilities((2, 3), "2.3 to 2.13")
    assert taken_for("0/100% ä", unknown) == "0/100% ä"
    assert {path for path in MEANT if taken_for(f"{ROOT}/{path}", unknown) == f"{ROOT}/{path}"} == {
        path for path, meant in MEANT.items() if set(meant) == {""}
    }


#: Files that every server of today can name, and those that it cannot, as far as they go into a folder.
NAMED = {
    "fine.txt": b"1",
    "lr high": b"2",
    "100% done?x;y": b"3",
    "C:/in/x.txt": b"4",
    "back\\slash": b"5",
    "ä/日本.txt": b"6",
    "images/a%step%0%timestamp%1718000000000%1f.png": b"7",
}
UNNAMED = {
    "lr%20high": b"not that one",
    "x#y.txt": b"8",
    "what?": b"9",
    "dir#1/deep/file": b"10",
    "s3%3A%2F%2Fbucket/part.csv": b"11",
    "lr%20dir/file": b"12",
    "images/a%step%0%timestamp%1718000000000%a3.png": b"13",
}
#: What the end of a run names of the latter: a folder stands for all that it holds.
TOLD = {
    *("lr%20high", "x#y.txt", "what?", "dir#1/", "s3%3A%2F%2Fbucket/", "lr%20dir/"),
    "images/a%step%0%timestamp%1718000000000%a3.png",
}


def store(folder: Path, files: dict[str, bytes]) -> None:
    """Puts files into a folder."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def stored(folder: Path) -> dict[str, bytes]:
    """Returns the files of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def a_run(server: MlflowServer, files: dict[str, bytes]) -> str:
    """Makes a run with files that nobody sent through the server, and returns its id."""
    client = MlflowClient(server.url, server.url)
    run = client.create_run("0")
    store(server.artifacts / run.info.artifact_uri.removeprefix("mlflow-artifacts:/"), files)
    client.set_terminated(run.info.run_id)
    return str(run.info.run_id)


def files_of_the_run(server: MlflowServer) -> tuple[str, dict[str, bytes]]:
    """Returns the status of the one run, and its files as the server stores them."""
    (run,) = MlflowClient(server.url, server.url).search_runs(["0"])
    return run.info.status, stored(server.artifacts / run.info.artifact_uri.removeprefix("mlflow-artifacts:/"))


def test_what_an_end_cannot_name_stays_behind_by_name_and_all_else_arrives(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server()
    a_run(source, NAMED | UNNAMED)
    for _ in range(2):
        report = migrated(source, destination, tmp_path)
        assert (report.failures, report.exit_code) == ((), 3)
        assert {(cause, detail.partition(": ")[0]) for cause, detail in left_behind(report)} == {
            (Cause.FILE_NAME, path) for path in TOLD
        }
        assert files_of_the_run(destination) == ("FINISHED", NAMED)
    assert migrated(source, destination, tmp_path, accept=("file-name",)).exit_code == 0


def test_between_two_folders_every_name_is_carried(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    a_run(source, NAMED | UNNAMED)
    ends = [Endpoint(uri=server.url, artifacts_dir=str(server.artifacts)) for server in (source, destination)]
    report = migrated(ends[0], ends[1], tmp_path)
    assert (left_behind(report), report.exit_code) == ([], 0)
    assert files_of_the_run(destination) == ("FINISHED", NAMED | UNNAMED)


@pytest.mark.parametrize(("side", "who"), [("source", "destination"), ("destination", "source")])
def test_what_only_one_end_cannot_name_is_told_of_that_end(
    fresh_server: StartServer, tmp_path: Path, side: str, who: str
) -> None:
    source, destination = fresh_server(), fresh_server()
    a_run(source, NAMED | UNNAMED)
    ends = {"source": Endpoint(uri=source.url), "destination": Endpoint(uri=destination.url)}
    server = source if side == "source" else destination
    ends[side] = Endpoint(uri=server.url, artifacts_dir=str(server.artifacts))
    report = migrated(ends["source"], ends["destination"], tmp_path)
    told = left_behind(report)
    assert len(told) == len(TOLD if side == "destination" else UNNAMED)
    assert all(f": the {who} (MLflow 3." in detail for _, detail in told), told
    assert files_of_the_run(destination) == ("FINISHED", NAMED)


@asynccontextmanager
async def end(server: MlflowServer, name: str) -> AsyncIterator[Server]:
    async with connected(Endpoint(uri=server.url), name, patience=QUICK) as found:
        yield found


async def brought(source: Server, destination: Server, origin: Place, arrival: Place) -> Brought:
    with anyio.fail_after(60.0):
        return await copied(Copier(source.client, destination.client), origin, arrival)


@pytest.mark.anyio
async def test_an_old_server_is_asked_what_it_can_name(
    servers: Servers, old_python: str, small_server: MlflowServer
) -> None:
    old = servers.start(python=old_python)
    run_id = a_run(old, NAMED | UNNAMED)
    location = f"mlflow-artifacts:/0/{run_id}/artifacts"
    async with end(old, "source") as source, end(small_server, "destination") as destination:
        origin = place(source, location, run_id=run_id)
        result = await brought(source, destination, origin, Proxied(destination, "8/old"))
    assert result.paths_left == dict.fromkeys(TOLD, "file-name")
    assert stored(small_server.artifacts / "8/old") == NAMED


@pytest.mark.anyio
async def test_a_root_is_what_its_server_takes_it_for(small_server: MlflowServer) -> None:
    # Whoever wrote to such a location did it by the same name, so its files stand where that leads.
    store(small_server.artifacts / "my exp/run", {"file": b"content", "lr%20high": b"no"})
    async with end(small_server, "source") as source, end(small_server, "destination") as destination:
        result = await brought(source, destination, Proxied(source, "my%20exp/run"), Proxied(destination, "8/root"))
    assert stored(small_server.artifacts / "8/root") == {"file": b"content"}
    assert result.paths_left == {"lr%20high": "file-name"}


@pytest.fixture(scope="module")
def storage() -> Iterator[ObjectStorage]:
    """An S3 service."""
    with object_storage() as found:
        yield found


@pytest.fixture(scope="module")
def bucket(servers: Servers, storage: ObjectStorage) -> MlflowServer:
    """A server that keeps its artifacts there."""
    return storage.server(servers, "names")


def put(storage: ObjectStorage, root: str, objects: dict[str, bytes]) -> None:
    """Puts objects into the bucket, as anybody can."""
    for key, content in objects.items():
        storage.client.put_object(Bucket=BUCKET, Key=f"names/{root}/{key}", Body=content)


@pytest.mark.anyio
async def test_a_file_beside_a_folder_of_its_name_stops_no_other(
    bucket: MlflowServer, storage: ObjectStorage, small_server: MlflowServer
) -> None:
    put(storage, "1/a", {"log": b"", "log/train": b"2", "log/test": b"3", "other": b"4", "d//b": b"5", "m/": b""})
    async with end(bucket, "source") as source, end(small_server, "destination") as destination:
        result = await brought(source, destination, Proxied(source, "1/a"), Proxied(destination, "8/twins"))
    refused = dict.fromkeys(["log/train", "log/test"], "file-refused")
    assert result.paths_left == refused | {"d/d/": "file-name"}
    assert stored(small_server.artifacts / "8/twins") == {"log": b"", "other": b"4"}


@pytest.mark.anyio
async def test_another_bucket_holds_a_file_beside_a_folder_of_its_name(
    bucket: MlflowServer, storage: ObjectStorage
) -> None:
    put(storage, "2/a", {"log": b"", "log/train": b"2"})
    async with end(bucket, "source") as source, end(bucket, "destination") as destination:
        result = await brought(source, destination, Proxied(source, "2/a"), Proxied(destination, "2/b"))
    assert result.left == []
    assert (storage.content("names/2/b/log"), storage.content("names/2/b/log/train")) == (b"", b"2")


@pytest.mark.anyio
async def test_an_old_server_does_not_put_such_a_file_into_the_folder(
    servers: Servers, old_python: str, bucket: MlflowServer, storage: ObjectStorage
) -> None:
    old = servers.start(python=old_python)
    put(storage, "3/a", {"log": b"", "log/train": b"2"})
    async with end(bucket, "source") as source, end(old, "destination") as destination:
        result = await brought(source, destination, Proxied(source, "3/a"), Proxied(destination, "3/b"))
    assert result.paths_left == {"log/train": "file-refused"}
    assert stored(old.artifacts / "3/b") == {"log": b""}


@pytest.mark.anyio
async def test_a_file_that_a_server_gives_as_a_folder_stays_behind_alone(
    bucket: MlflowServer, storage: ObjectStorage, small_server: MlflowServer
) -> None:
    put(storage, "4/a", {"log": b"not empty", "log/train": b"2", "x" * 300: b"3", "fine": b"4"})
    async with end(bucket, "source") as source, end(small_server, "destination") as destination:
        result = await brought(source, destination, Proxied(source, "4/a"), Proxied(destination, "8/full"))
    assert result.paths_left == dict.fromkeys(["log", "x" * 300], "file-unreadable")
    assert stored(small_server.artifacts / "8/full") == {"log/train": b"2", "fine": b"4"}


@pytest.mark.anyio
async def test_what_cannot_be_opened_in_a_folder_stays_behind_alone(small_server: MlflowServer, tmp_path: Path) -> None:
    store(tmp_path, {"fine": b"1", "below/fine": b"2"})
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    (tmp_path / "below" / "up").symlink_to(tmp_path)
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    (tmp_path / os.fsdecode(b"latin \xe9")).write_bytes(b"3")
    async with end(small_server, "source") as source, end(small_server, "destination") as destination:
        result = await brought(
            source, destination, Seen(tmp_path, "", source.client.traffic), Proxied(destination, "8/odd")
        )
    unreadable = dict.fromkeys(["pipe", "gone", "circle", "below/up/"], "file-unreadable")
    assert result.paths_left == unreadable | {"latin \\udce9": "file-name"}
    assert stored(small_server.artifacts / "8/odd") == {"fine": b"1", "below/fine": b"2"}


@pytest.mark.anyio
async def test_what_a_file_system_cannot_hold_stays_behind_alone(small_server: MlflowServer, tmp_path: Path) -> None:
    store(tmp_path / "from", {"fine": b"1", "taken": b"2", "file/below": b"3"})
    (tmp_path / "to" / "taken" / "folder").mkdir(parents=True)
    (tmp_path / "to" / "file").write_bytes(b"in the way")
    async with end(small_server, "source") as source, end(small_server, "destination") as destination:
        places = Seen(tmp_path / "from", "", source.client.traffic), Seen(tmp_path / "to", "", source.client.traffic)
        result = await brought(source, destination, *places)
    assert result.paths_left == {"taken": "file-refused", "file/below": "file-refused"}
    assert stored(tmp_path / "to")["fine"] == b"1"


@pytest.mark.anyio
async def test_a_server_without_an_artifact_service_takes_what_it_can(
    fresh_server: StartServer, small_server: MlflowServer, tmp_path: Path
) -> None:
    destination = fresh_server(args=["--no-serve-artifacts", "--default-artifact-root", str(tmp_path / "root")])
    client = MlflowClient(destination.url, destination.url)
    run_id = client.create_run(client.create_experiment("on its own disk")).info.run_id
    large = bytes(10 * 1024 * 1024 + 1)
    store(small_server.artifacts / "8/mixed", {"fine": b"1", "empty": b"", "large": large, "lr%20high": b"2"})
    async with end(small_server, "source") as source, end(destination, "destination") as other:
        seen = Seen(small_server.artifacts, "8/mixed", source.client.traffic)
        result = await brought(source, other, seen, OfRun(other, run_id))
    assert {left.detail.partition(":")[0]: left.cause for left in result.left} == {
        "empty (0 bytes)": Cause.FILE_REFUSED,
        "large (10,485,761 bytes)": Cause.FILE_REFUSED,
        "lr%20high": Cause.FILE_NAME,
    }
    assert [name.rpartition("/")[2] for name in stored(tmp_path / "root")] == ["fine"]


def test_a_server_that_fails_on_a_name_too_long_for_a_file_system_refuses_it() -> None:
    error = ServerFault("HTTP 500", status=500)
    left = Refusals().of(Entry(f"folder/{'x' * 256}", is_dir=False, size=1), error)
    assert left.cause is Cause.FILE_REFUSED
    with pytest.raises(ServerFault):
        Refusals().of(Entry(f"folder/{'x' * 255}", is_dir=False, size=1), error)


def test_what_was_not_given_the_first_time_comes_with_the_next_run(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    run_id = a_run(source, {"fine": b"1"})
    late = source.artifacts / "0" / run_id / "artifacts" / "late"
    late.symlink_to(tmp_path / "late")
    seen = Endpoint(uri=source.url, artifacts_dir=str(source.artifacts))
    for _ in range(2):
        report = migrated(seen, destination, tmp_path / "work")
        assert [cause for cause, _ in left_behind(report)] == [Cause.FILE_UNREADABLE]
        assert report.exit_code == 3
    assert of(report, "run").already == 1
    (tmp_path / "late").write_bytes(b"2")
    report = migrated(seen, destination, tmp_path / "work")
    assert (of(report, "run").moved, left_behind(report), report.exit_code) == (1, [], 0)
    assert files_of_the_run(destination) == ("FINISHED", {"fine": b"1", "late": b"2"})
    assert of(migrated(seen, destination, tmp_path / "work"), "run").already == 1


def test_a_dry_run_tells_what_no_end_can_name(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    a_run(source, NAMED | UNNAMED)
    plan = planned(source, destination, tmp_path)
    (names,) = plan.left_behind
    assert (names.cause, {event.detail.partition(": ")[0] for event in names.first}) == (Cause.FILE_NAME, TOLD)
    (runs,) = [kind for kind in plan.kinds if kind.kind == "run"]
    assert (runs.files, runs.bytes) == (len(NAMED), sum(map(len, NAMED.values())))


#: A server that shows a user what was granted, and nothing else.
AUTH = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///basic_auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""


def reader_of(server: MlflowServer, experiment: str) -> Endpoint:
    """Makes a user who may read one experiment."""
    login = {"username": "reader", "password": "may-only-read-it"}
    grant = {"username": "reader", "resource_type": "experiment", "resource_id": experiment, "permission": "READ"}
    with httpx.Client(base_url=f"{server.url}/api", auth=ADMIN, trust_env=False) as http:
        http.post("/2.0/mlflow/users/create", json=login).raise_for_status()
        http.post("/3.0/mlflow/users/permissions/grant", json=grant).raise_for_status()
    return Endpoint(uri=server.url, username=login["username"], password=login["password"])


@pytest.mark.anyio
async def test_a_root_that_the_artifact_service_declines_is_read_through_the_object_that_owns_it(
    fresh_server: StartServer, small_server: MlflowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "auth.ini").write_text(AUTH)
    server = fresh_server(basic_auth=True, env={"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini")})
    for name, value in zip(("USERNAME", "PASSWORD"), ADMIN, strict=True):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    client = MlflowClient(server.url, server.url)
    # Its files stand below no experiment's id, so the service does not know who may read them.
    experiment = client.create_experiment("of its own", "mlflow-artifacts:/of/its/own")
    run, model = client.create_run(experiment), client.create_logged_model(experiment, "net")
    locations = str(run.info.artifact_uri), str(model.artifact_location)
    for location in locations:
        store(server.artifacts / location.removeprefix("mlflow-artifacts:/"), {"a": b"1", "b c/d": b"2"})
    async with (
        connected(reader_of(server, experiment), "source", patience=QUICK) as source,
        end(small_server, "destination") as destination,
    ):
        with pytest.raises(Refused, match="403"):
            await Proxied(source, locations[0].removeprefix("mlflow-artifacts:/")).entries("")
        owners: list[dict[str, str]] = [{"run_id": run.info.run_id}, {"model_id": model.model_id}]
        for number, owner in enumerate(owners):
            origin = place(source, locations[number], **owner)
            result = await brought(source, destination, origin, Proxied(destination, f"8/owned{number}"))
            assert result.left == []
            assert stored(small_server.artifacts / f"8/owned{number}") == {"a": b"1", "b c/d": b"2"}
