"""Files between two real servers while the network, a gateway or one of the servers misbehaves."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import pytest

from bulkexim.artifacts.copier import Copier
from bulkexim.artifacts.copying import WHOLE
from bulkexim.artifacts.owned import OfLoggedModel, OfRun
from bulkexim.artifacts.place import Entry, Place
from bulkexim.artifacts.places import place
from bulkexim.artifacts.proxied import Proxied
from bulkexim.artifacts.stored import Stored
from bulkexim.config import Endpoint
from bulkexim.ends.server import Server, connected
from bulkexim.errors import BadReply, ServerFault, TemporaryTrouble
from bulkexim.http.retry import Patience
from tests.conftest import StartServer
from tests.support import copying
from tests.support.campaigns.faults import MIXED
from tests.support.copying import Brought
from tests.support.faults import Asked, Fault, Faults, Mix, Rule, proxied
from tests.support.reading import content
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import Builder

pytestmark = pytest.mark.anyio

#: What the proxy answers in the place of a gateway.
PAGE = b"<html><body>Please log in.</body></html>"
LARGE = WHOLE + 12_345
SHORT = Patience(seconds=60.0, longest_pause=0.1, reply=2.0)
NONE = Patience(seconds=0.0, fault_tries=1)


@dataclass(frozen=True, slots=True)
class Known(Proxied):
    """A root with one file, whose listing nobody has to ask for the first time."""

    size: int = 0
    asked: list[str] = field(default_factory=list)

    async def entries(self, folder: str) -> list[Entry]:
        self.asked.append(folder)
        return await Proxied.entries(self, folder) if self.asked[1:] else [Entry("file", is_dir=False, size=self.size)]


class First:
    """Lets the first requests with a method meet a fault."""

    def __init__(self, fault: Fault, method: str, times: int = 1) -> None:
        self._fault, self._method, self._left = fault, method, times

    def __call__(self, asked: Asked) -> Fault:
        if asked.method != self._method or self._left == 0:
            return Fault.PASS
        self._left -= 1
        return self._fault


@pytest.fixture(scope="module")
def both(servers: Servers) -> tuple[MlflowServer, MlflowServer]:
    return servers.start(), servers.start()


@pytest.fixture
def root(tmp_path: Path) -> str:
    return f"{tmp_path.name}/artifacts"


def store(server: MlflowServer, root: str, files: dict[str, bytes]) -> None:
    """Put files below a root."""
    folder = server.artifacts / root
    folder.mkdir(parents=True, exist_ok=True)
    for name, stored in files.items():
        (folder / name).write_bytes(stored)


def arrived(server: MlflowServer, root: str, name: str = "file") -> bytes:
    """Return a file below a root."""
    return (server.artifacts / root / name).read_bytes()


@asynccontextmanager
async def behind(
    server: MlflowServer, name: str, rule: Rule = lambda _: Fault.PASS, patience: Patience = SHORT
) -> AsyncIterator[Server]:
    """Connect with a server through a proxy, which begins to misbehave when the connection stands."""
    faults = Faults(retry_after=0.1)
    async with (
        proxied(server.url, faults, name) as proxy,
        connected(Endpoint(uri=proxy.url), name, patience=patience) as end,
    ):
        faults.rule = rule
        yield end


async def copied(source: Server, destination: Server, places: tuple[Place, Place], spool_dir: Path | None) -> Brought:
    """Copy every file as it is, within a time that no wait for the wrong server could keep."""
    with anyio.fail_after(60.0):
        return await copying.copied(Copier(source.client, destination.client, spool_dir), *places)


async def test_a_page_of_just_the_right_size_is_not_taken_for_a_file(
    both: tuple[MlflowServer, MlflowServer], root: str
) -> None:
    file = bytes(reversed(PAGE))
    store(both[0], root, {"file": file})
    rule = First(Fault.PAGE, "GET", times=2)
    async with behind(both[0], "source", rule) as source, behind(both[1], "destination") as destination:
        places = Known(source, root, size=len(PAGE)), Proxied(destination, root)
        brought = await copied(source, destination, places, None)
        assert brought.written == {"file": Stored.of(file)}
        assert source.client.traffic.retries == 2
    assert arrived(both[1], root) == file


async def test_a_gateway_that_gives_nothing_but_pages_fails_the_file(
    both: tuple[MlflowServer, MlflowServer], root: str
) -> None:
    store(both[0], root, {"file": PAGE})
    rule = First(Fault.PAGE, "GET", times=-1)
    async with behind(both[0], "source", rule, NONE) as source, behind(both[1], "destination") as destination:
        places = Known(source, root, size=len(PAGE)), Proxied(destination, root)
        with pytest.raises(BadReply, match=r"source GET .* is not a file as MLflow sends it"):
            await copied(source, destination, places, None)


@pytest.mark.parametrize("old", [False, True], ids=["new server", "old server"])
async def test_a_page_that_is_stored_as_a_file_is_one(
    fresh_server: StartServer, tmp_path: Path, request: pytest.FixtureRequest, old: bool
) -> None:
    server = fresh_server(python=request.getfixturevalue("old_python")) if old else fresh_server()
    with Builder(server.url, tmp_path) as build:
        build.experiment("plain", "with pages")
        run_id = build.run("run")
        names = ["page.html", "page", "ä page.html", "page.json"]
        for name in names:
            build.put("run", name, PAGE)
        location = build.client.get_run(run_id).info.artifact_uri
        async with connected(Endpoint(uri=server.url), "source", patience=NONE) as end:
            roots = [place(end, location, run_id=run_id), OfRun(end, run_id)]
            if not old:
                model = build.client.create_logged_model(build.experiments["plain"], "net", run_id)
                store(server, model.artifact_location.removeprefix("mlflow-artifacts:/"), dict.fromkeys(names, PAGE))
                roots.append(OfLoggedModel(end, model.model_id))
            for root in roots:
                assert [await content(end.client, root, name) for name in names] == [PAGE] * len(names)


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize("gone", ["source", "destination"])
async def test_the_server_that_is_gone_is_named_and_the_other_is_not_waited_for(
    servers: Servers, root: str, tmp_path: Path, *, gone: str, spooled: bool, size: int
) -> None:
    spool_dir = tmp_path if spooled else None
    started = {name: servers.start() for name in ("source", "destination")}
    store(started["source"], root, {"file": bytes(size)})
    # The one that stays would be waited for longer than the test may take.
    patience = {name: NONE if name == gone else Patience() for name in started}
    async with (
        connected(Endpoint(uri=started["source"].url), "source", patience=patience["source"]) as source,
        connected(Endpoint(uri=started["destination"].url), "destination", patience=patience["destination"]) as other,
    ):
        started[gone].stop()
        with pytest.raises(TemporaryTrouble, match=f"the {gone} did not answer"):
            await copied(source, other, (Known(source, root, size=size), Proxied(other, root)), spool_dir)
    for server in started.values():
        server.stop()


@pytest.mark.parametrize("spooled", [False, True])
@pytest.mark.parametrize(("failing", "method"), [("source", "GET"), ("destination", "PUT")])
@pytest.mark.parametrize("fault", [Fault.ERROR_500, Fault.ERROR_503, Fault.BUSY_DATE, Fault.PAGE])
async def test_a_large_file_is_tried_again_with_the_patience_of_the_end_that_failed(
    both: tuple[MlflowServer, MlflowServer],
    root: str,
    tmp_path: Path,
    *,
    failing: str,
    method: str,
    fault: Fault,
    spooled: bool,
) -> None:
    file = random.Random(1).randbytes(LARGE)
    store(both[0], root, {"file": file})
    rules = {failing: First(fault, method)}
    patience = {"source": NONE, "destination": NONE} | {failing: SHORT}
    async with (
        behind(both[0], "source", rules.get("source", Faults().rule), patience["source"]) as source,
        behind(both[1], "destination", rules.get("destination", Faults().rule), patience["destination"]) as other,
    ):
        places = Known(source, root, size=LARGE), Proxied(other, root)
        brought = await copied(source, other, places, tmp_path if spooled else None)
        assert brought.written == {"file": Stored.of(file)}
        retries = {"source": source.client.traffic.retries, "destination": other.client.traffic.retries}
    assert retries == {"source": 0, "destination": 0} | {failing: 1}
    assert arrived(both[1], root) == file


@pytest.mark.parametrize(("failing", "method"), [("source", "GET"), ("destination", "PUT")])
async def test_an_end_that_keeps_failing_on_a_large_file_is_asked_a_few_times_only(
    both: tuple[MlflowServer, MlflowServer], root: str, failing: str, method: str
) -> None:
    store(both[0], root, {"file": bytes(LARGE)})
    rules = {failing: First(Fault.ERROR_500, method, times=-1)}
    async with (
        behind(both[0], "source", rules.get("source", Faults().rule)) as source,
        behind(both[1], "destination", rules.get("destination", Faults().rule)) as other,
    ):
        with pytest.raises(ServerFault, match=f"^{failing} {method} "):
            await copied(source, other, (Known(source, root, size=LARGE), Proxied(other, root)), None)
        retries = {"source": source.client.traffic.retries, "destination": other.client.traffic.retries}
    # A source is also asked whether it can list the file: then it would be at fault with this one alone.
    calls = 2 if failing == "source" else 1
    assert retries == {"source": 0, "destination": 0} | {failing: calls * (SHORT.fault_tries - 1)}


@pytest.mark.parametrize("size", [10, LARGE], ids=["small", "large"])
async def test_a_file_that_its_server_lists_and_fails_on_stays_behind_alone(
    both: tuple[MlflowServer, MlflowServer], root: str, size: int
) -> None:
    store(both[0], root, {"bad": bytes(size), "good": b"good"})

    def rule(asked: Asked) -> Fault:
        return Fault.ERROR_500 if asked.path.endswith("/bad") else Fault.PASS

    async with behind(both[0], "source", rule, NONE) as source, behind(both[1], "destination") as destination:
        brought = await copied(source, destination, (Proxied(source, root), Proxied(destination, root)), None)
    assert brought.paths_left == {"bad": "file-unreadable"}
    assert brought.written == {"good": Stored.of(b"good")}


@pytest.mark.parametrize("spooled", [False, True])
async def test_files_of_every_size_arrive_whole_through_a_mix_of_faults_at_both_ends(
    both: tuple[MlflowServer, MlflowServer], root: str, tmp_path: Path, *, spooled: bool
) -> None:
    chance = random.Random(5)
    files = {f"{number}.bin": chance.randbytes(number * 100) for number in range(40)}
    files |= {f"{number} large.bin": chance.randbytes(LARGE + number) for number in range(3)}
    store(both[0], root, files)
    async with (
        behind(both[0], "source", Mix(11, MIXED)) as source,
        behind(both[1], "destination", Mix(12, MIXED)) as destination,
    ):
        places = Proxied(source, root), Proxied(destination, root)
        brought = await copied(source, destination, places, tmp_path if spooled else None)
    assert brought.written == {name: Stored.of(file) for name, file in files.items()}
    assert {name: arrived(both[1], root, name) for name in files} == files
