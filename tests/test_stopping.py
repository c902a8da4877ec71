"""A run that is stopped waits for the one create that has left and writes it down, and for nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from bulkexim import Endpoint, Settings, migrate
from bulkexim.ends.server import Server
from bulkexim.http.client import Client
from bulkexim.http.limiter import Limiter
from bulkexim.http.retry import Repeat
from bulkexim.ids import SourceId
from bulkexim.kinds.base import Draft
from bulkexim.kinds.model_version import ModelVersionKind
from bulkexim.kinds.registered_model import RegisteredModelKind
from bulkexim.kinds.scope import Pair
from bulkexim.kinds.version_source import Choice, Origin
from bulkexim.kinds.version_translation import VersionPlan
from bulkexim.kinds.version_values import ModelVersion
from bulkexim.ledger.opening import blank
from bulkexim.ledger.queries import look
from bulkexim.left_behind import UNSUPPORTED_KINDS
from tests.support.campaigns.ground import Ground, prepare
from tests.support.campaigns.tenant import build_linked
from tests.support.faults import Asked, Fault, Faults, proxied, quiet
from tests.support.servers import Servers
from tests.virtual_clock import settle

pytestmark = pytest.mark.anyio

Answer = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def server(answer: Answer, sleep: Callable[[float], Awaitable[None]] = anyio.sleep) -> Server:
    """Return a destination that answers as it is told."""
    http = httpx.AsyncClient(base_url="http://destination.example", transport=httpx.MockTransport(answer))
    return Server(Client("destination", http, Limiter(), sleep=sleep), "http://destination.example")


async def test_the_reply_to_a_create_that_has_left_still_comes() -> None:
    left, answered = anyio.Event(), anyio.Event()
    replies: list[dict[str, Any]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        left.set()
        await answered.wait()
        return httpx.Response(200, json={"made": True})

    async def create() -> None:
        replies.append(await server(answer).create("runs/create", {}, dict[str, Any], Repeat.ONCE))

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(create)
            with anyio.CancelScope(shield=True):
                await left.wait()
                scope.cancel()
                await settle()
                answered.set()
    assert replies == [{"made": True}]


async def test_a_create_that_was_refused_for_now_is_not_tried_again() -> None:
    """The pause between two tries, of which there are ten minutes, ends at once."""
    asked: list[str] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(429)

    async def sleep(seconds: float) -> None:
        scope.cancel()
        await anyio.sleep_forever()

    with anyio.CancelScope() as scope:
        await server(answer, sleep).create("runs/create", {}, dict[str, Any], Repeat.ONCE)
    assert scope.cancelled_caught
    assert len(asked) == 1


async def test_no_further_placeholder_is_made_when_the_run_is_stopped() -> None:
    made: list[int] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("search"):
            return httpx.Response(200, json={})
        made.append(len(made) + 1)
        if len(made) == 3:
            scope.cancel()
        return httpx.Response(200, json={"model_version": {"name": "model", "version": str(len(made))}})

    async with blank() as ledger:
        pair = Pair(server(answer), server(answer), ledger, Settings())
        kind = ModelVersionKind(pair, RegisteredModelKind(pair))
        with anyio.CancelScope() as scope:
            await kind.create(version(number=90_000), "mark")
        assert scope.cancelled_caught
    assert len(made) == 3


async def test_a_version_under_another_number_is_not_taken_for_the_one_that_is_looked_for() -> None:
    """A run that is stopped, or dies, between the create of a wrong number and its removal leaves such a one."""
    tags = [{"key": "bulkexim.marker", "value": "mark"}]

    async def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"model_versions": [{"name": "model", "version": "6", "tags": tags}]})

    async with blank() as ledger:
        pair = Pair(server(answer), server(answer), ledger, Settings())
        kind = ModelVersionKind(pair, RegisteredModelKind(pair))
        assert await kind.find(version(number=5), "mark") is None
        found = await kind.find(version(number=6), "mark")
    assert found is not None
    assert found.id == "model/6"


def version(number: int) -> Draft[VersionPlan]:
    """Return a version to be created in the model of that name."""
    value = ModelVersion("model", str(number), source="s3://bucket/model")
    plan = VersionPlan(value, "model", Origin((Choice(value.source),)), ())
    return Draft(SourceId(f"model/{number}"), "model", plan, "digest")


@pytest.fixture(scope="module")
def ground(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A tenant with every link between kinds, and a destination with room for many trials."""
    source = servers.start()
    build_linked(source.url)
    return prepare(servers, source, tmp_path_factory.mktemp("trials"))


#: Creates after which a run is stopped, by the end of their path.
KINDS = {
    "experiments/create": "experiment",
    "runs/create": "run",
    "logged-models": "logged_model",
    "registered-models/create": "registered_model",
    "model-versions/create": "model_version",
}


@pytest.mark.parametrize("path", KINDS)
async def test_a_run_that_is_stopped_at_a_create_knows_what_it_made(ground: Ground, tmp_path: Path, path: str) -> None:
    """One request at a time: what leaves after the run was stopped would be in the log."""
    workspace, faults = ground.workspace("stopped"), Faults()
    stopped: list[int] = []

    def stop(asked: Asked) -> Fault:
        if asked.end == "destination" and asked.path.endswith(path):
            scope.cancel()
            stopped.append(asked.number)
        return Fault.PASS

    async with proxied(ground.destination.url, faults, "destination") as proxy:
        destination = Endpoint(uri=proxy.url, workspace=workspace, concurrency=1)
        settings = Settings(
            work_dir=tmp_path,
            include_deleted=True,
            source_id=f"source of {workspace}",
            settle_seconds=0.3,
            accept=UNSUPPORTED_KINDS,
        )
        faults.rule = stop
        with anyio.CancelScope() as scope:
            await migrate(ground.source, destination, settings)
        assert scope.cancelled_caught
        assert (len(stopped), _uncertain(tmp_path)) == (1, [])
        if path != "experiments/create":  # It is read once more, for the place of its artifacts.
            assert _made(tmp_path, KINDS[path]) + _placeholders(ground, workspace) == 1
        faults.rule = quiet
        report = await migrate(ground.source, destination, settings)
        assert (report.exit_code, report.leftovers) == (0, ())
    assert await ground.differences(workspace) == []
    assert ground.doubled() == []


def _uncertain(work_dir: Path) -> list[str]:
    """Return the kinds of what may have been created and has no id."""
    with closing(look(work_dir)) as ledger:
        return [kind for (kind,) in ledger._ask("select kind from objects where state = 'intent'")]


def _made(work_dir: Path, kind: str) -> int:
    """Return how many objects of a kind have an id at the destination."""
    with closing(look(work_dir)) as ledger:
        return [found for _, _, found in ledger.id_map()].count(kind)


def _placeholders(ground: Ground, workspace: str) -> int:
    """Return how many numbers are held for versions that are to come: the first create may be for one."""
    query = "select count(*) from model_version_tags where key = 'bulkexim.gap' and workspace = ?"
    with closing(sqlite3.connect(ground.destination.database)) as store:
        return int(store.execute(query, (workspace,)).fetchone()[0])
