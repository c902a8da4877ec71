"""Gateways that take fewer bytes than MLflow: calls are bounded, made smaller on 413, and what cannot pass is named."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mlflow.entities import LoggedModelOutput, Metric, Param, RunTag

from bulkexim.config import Level
from bulkexim.ends.bodies import LEAST, MOST, Bodies, Item, fields
from bulkexim.errors import TooLarge
from tests.conftest import StartServer
from tests.support.faults.teller import Forward, Request, Teller, telling
from tests.support.faults.wire import Reply
from tests.support.migrating import left_behind, migrated, moved
from tests.support.oracle import compare
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import START, Builder
from tests.support.verifying import told, verified

KIB = 1024
LIMIT = 64 * KIB
PAGE = [(b"content-type", b"text/html")]
TOO_LARGE = Reply(413, PAGE, b"<html><head><title>413 Request Entity Too Large</title></head></html>")


class Gateway:
    """Takes bodies of ``limit`` bytes, and keeps what it took and how large the others were."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken: list[list[Item]] = []
        self.refused: list[int] = []

    async def send(self, items: Sequence[Item]) -> None:
        self.check({"run_id": "0" * 32, **fields(items)})
        self.taken.append(list(items))

    async def create(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.check(body)
        return body

    def check(self, body: Mapping[str, Any]) -> None:
        size = len(msgspec.json.encode(body))
        if size > self.limit:
            self.refused.append(size)
            raise TooLarge(f"{size} bytes", size)


def values(*sizes: int) -> list[Item]:
    """Return params of so many bytes each."""
    return [("params", {"key": str(number), "value": "a" * size}) for number, size in enumerate(sizes)]


@pytest.mark.anyio
async def test_what_fits_into_a_body_is_sent_in_one_call() -> None:
    gateway, bodies = Gateway(1024 * KIB), Bodies()
    items = values(*[8000] * 100)
    assert await bodies.sent(items, gateway.send) == []
    assert gateway.taken == [items]


@pytest.mark.anyio
async def test_a_body_is_bounded_by_its_bytes_before_anybody_refuses_it() -> None:
    gateway, bodies = Gateway(1024 * KIB), Bodies()
    items = values(*[30_000] * 100)
    assert await bodies.sent(items, gateway.send) == []
    assert (gateway.refused, bodies.most) == ([], MOST)
    assert [item for piece in gateway.taken for item in piece] == items
    assert len(gateway.taken) == 4


@pytest.mark.anyio
async def test_a_refused_body_is_halved_and_the_size_that_passes_is_remembered() -> None:
    gateway, bodies = Gateway(LIMIT), Bodies()
    items = values(*[8000] * 100)
    assert await bodies.sent(items, gateway.send) == []
    assert [item for piece in gateway.taken for item in piece] == items
    assert len(gateway.refused) == 4
    assert LIMIT / 4 < bodies.most <= LIMIT
    assert await bodies.sent(items, gateway.send) == []
    assert len(gateway.refused) == 4, "the second list is sent in bodies that pass"


@pytest.mark.anyio
async def test_a_value_that_fits_into_no_body_is_declined_alone() -> None:
    gateway, bodies = Gateway(LIMIT), Bodies()
    items = values(10, 70_000, 20, 90_000, 30)
    declined = await bodies.sent(items, gateway.send)
    assert [one.item for one in declined] == [items[1], items[3]]
    assert [item for piece in gateway.taken for item in piece] == [items[0], items[2], items[4]]


@pytest.mark.anyio
async def test_a_gateway_that_refuses_everything_is_not_asked_for_each_value() -> None:
    gateway, bodies = Gateway(0), Bodies()
    with pytest.raises(TooLarge):
        await bodies.sent(values(*[10] * 10_000), gateway.send)
    assert len(gateway.refused) < 12
    assert bodies.most == LEAST


@pytest.mark.anyio
async def test_an_object_is_created_with_what_it_needs_and_as_many_others_as_fit() -> None:
    gateway, bodies = Gateway(LIMIT), Bodies()
    needed = [("tags", {"key": "bulkexim.marker", "value": "m"})]
    others = values(70_000, 10, 30_000, 20, 50_000)
    body, whole = await bodies.created({"name": "n"}, needed, others, gateway.create)
    assert body["name"] == "n" and body["tags"] == [needed[0][1]]
    assert [param["key"] for param in body["params"]] == ["1", "2", "3"]
    assert not whole
    assert await bodies.created({"name": "n"}, needed, values(10), gateway.create) == (
        {"name": "n", "params": [{"key": "0", "value": "a" * 10}], "tags": [needed[0][1]]},
        True,
    )


@pytest.mark.anyio
async def test_an_object_that_fits_into_no_body_is_refused() -> None:
    with pytest.raises(TooLarge):
        await Bodies().created({"name": "n" * LIMIT}, [], values(10, 20), Gateway(LIMIT).create)


class Limited:
    """The behaviour of a gateway that takes bodies of so many bytes, and loses the first reply of some routes."""

    def __init__(self, most: int, *loses: str) -> None:
        self.most = most
        self.loses = set(loses)

    async def __call__(self, request: Request, forward: Forward) -> Reply | bytes:
        if len(request.body) > self.most:
            return TOO_LARGE
        reply = await forward()
        lost = {route for route in self.loses if request.path.endswith(route)}
        self.loses -= lost
        return b"" if lost else reply


def some(number: int, size: int, *, prefix: str = "key") -> dict[str, str]:
    return {f"{prefix} {one}": f"{one} " * (size // len(f"{one} ")) for one in range(number)}


def fat(build: Builder) -> None:
    """One object of each kind, each many times larger than a body may be; no value is as large as a body."""
    build.experiment("plain", "fat", **some(30, 4000))
    run_id = build.run("fat", name="fat", tags={**some(60, 7000), "#only a create takes it": "a" * 7900})
    build.client.log_batch(run_id, params=[Param(key, value) for key, value in some(90, 5900).items()])
    points = [Metric(f"a metric with a long name {'m' * 200}", step / 7, START + step, step) for step in range(1000)]
    build.client.log_batch(run_id, points)
    build.client.log_batch(run_id, tags=[RunTag("mlflow.log-model.history", json.dumps([{"run_id": run_id}] * 100))])
    datasets = [
        {
            "dataset": {
                "name": f"d{one}",
                "digest": str(one),
                "source_type": "code",
                "source": "s",
                "schema": "x" * 30_000,
            }
        }
        for one in range(6)
    ]
    build.rest("POST", "2.0/mlflow/runs/log-inputs", {"run_id": run_id, "datasets": datasets})
    model = build.client.create_logged_model(
        build.experiments["plain"], "fat", run_id, tags=some(40, 6000), params=some(40, 5900, prefix="param")
    )
    build.client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 3)])
    build.client.finalize_logged_model(model.model_id, "READY")
    build.client.create_registered_model("fat", some(30, 4900), "small")
    source, tags = f"models:/{model.model_id}", some(30, 4900)
    build.client.create_model_version("fat", source, run_id, tags=tags, model_id=model.model_id)


@pytest.fixture(scope="module")
def fat_source(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> MlflowServer:
    server = servers.start()
    with Builder(server.url, tmp_path_factory.mktemp("scratch")) as build:
        fat(build)
    return server


@pytest.fixture
def limit() -> Limited:
    return Limited(LIMIT)


@pytest.fixture
def behind_64_kib(fresh_server: StartServer, limit: Limited) -> Iterator[tuple[MlflowServer, Teller]]:
    server = fresh_server()
    with telling(server.url, limit) as gateway:
        yield server, gateway


def test_everything_arrives_through_a_gateway_that_takes_64_kib(
    fat_source: MlflowServer, behind_64_kib: tuple[MlflowServer, Teller], limit: Limited, tmp_path: Path
) -> None:
    destination, gateway = behind_64_kib
    limit.loses = {"/params", "/tags", "runs/outputs", "runs/log-batch", "runs/create", "experiments/create"}
    report = migrated(fat_source, gateway.url, tmp_path)
    assert limit.loses == set()
    assert (report.failures, left_behind(report), report.exit_code) == ((), [], 0)
    refused = [request for request in gateway.seen if len(request.body) > LIMIT]
    assert 0 < len(refused) < 20, "the size that passes is remembered"
    assert compare(fat_source.url, destination.url) == []
    assert told(verified(fat_source, destination, Level.FULL)) == []
    assert moved(migrated(fat_source, gateway.url, tmp_path)) == 0


def test_a_value_that_no_body_holds_is_named_and_tried_again(
    servers: Servers, behind_64_kib: tuple[MlflowServer, Teller], limit: Limited, tmp_path: Path
) -> None:
    source = servers.start()
    with Builder(source.url, tmp_path) as build:
        build.client.set_experiment_tag("0", "of Default", "🙂" * 20_000)
        build.experiment("plain", "plain", huge="🙂" * 20_000, small="is there")
        run_id = build.run("run", tags={"small": "is there"})
        build.put("run", "large.bin", b"a" * 70_000)
        build.put("run", "small.txt", b"is there")
        dataset = {"name": "wide", "digest": "1", "source_type": "code", "source": "s", "schema": "x" * 70_000}
        build.rest("POST", "2.0/mlflow/runs/log-inputs", {"run_id": run_id, "datasets": [{"dataset": dataset}]})
        build.client.create_registered_model("model", {"small": "is there"})
        build.client.create_model_version("model", "s3://b/x", tags={"huge": "v" * 70_000, "small": "is there"})
    destination, gateway = behind_64_kib
    report = migrated(source, gateway.url, tmp_path / "work", accept=("version-source",))
    named = sorted((event.kind, event.cause, event.detail) for one in report.left_behind for event in one.first)
    assert [(kind, cause, detail.partition(":")[0]) for kind, cause, detail in named if cause != "version-source"] == [
        ("experiment", "value-refused", "tag 'huge'"),
        ("experiment", "value-refused", "tag 'of Default'"),
        ("model_version", "value-refused", "tag 'huge'"),
        ("run", "file-refused", "large.bin"),
        ("run", "value-refused", "dataset 'wide'"),
    ]
    for _, cause, detail in named:
        if cause != "version-source":
            assert "client_max_body_size" in detail and "413" in detail
    assert (report.failures, report.exit_code) == ((), 3)
    accepted = ("version-source", "value-refused", "file-refused")
    assert verified(source, gateway.url, work_dir=tmp_path / "work").exit_code == 4
    assert told(verified(source, gateway.url, work_dir=tmp_path / "work", accept=accepted)) == []
    again = migrated(source, gateway.url, tmp_path / "work", accept=("version-source",))
    assert (len(again.left_behind), again.exit_code, moved(again)) == (len(report.left_behind), 3, 0)
    limit.most = 1024 * KIB
    mended = migrated(source, gateway.url, tmp_path / "work", accept=("version-source",))
    assert (mended.failures, mended.exit_code) == ((), 0)
    assert told(verified(source, destination, Level.FULL)) == []
