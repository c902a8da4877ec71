"""Servers behind gateways: pages are for people who logged in, and a token opens the API alone."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from bulkexim.config import Endpoint, Level
from bulkexim.ends.server import connected
from bulkexim.ids import SourceId
from bulkexim.kinds.history import INTERVAL, LONG, Latest, Point, histories, shared
from tests.conftest import StartServer
from tests.support.faults.teller import Forward, Request, telling
from tests.support.faults.wire import Reply
from tests.support.migrating import left_behind, migrated
from tests.support.oracle import compare
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified

HTML = [(b"content-type", b"text/html")]
#: What a gateway answers where it lets nobody through.
REFUSALS = {
    "a redirect to log in": Reply(302, [(b"location", b"https://id.example/login")], b""),
    "401": Reply(401, HTML, b"<html>Please log in.</html>"),
    "403": Reply(403, HTML, b"<html>Forbidden</html>"),
    "404": Reply(404, HTML, b"<html>Not Found</html>"),
    "a page": Reply(200, HTML, b"<html>Please log in.</html>"),
}


def admitting(refusal: Reply, *prefixes: str) -> Callable[[Request, Forward], Awaitable[Reply]]:
    """Returns the behaviour of a gateway that lets through what begins so, and only with the token."""

    async def behave(request: Request, forward: Forward) -> Reply:
        let_in = request.path.startswith(prefixes) and request.headers.get("authorization") == "Bearer a-token"
        return await forward() if let_in else refusal

    return behave


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_everything_arrives_where_a_token_opens_the_api_alone(
    refusal: Reply, small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    with (
        telling(small_tenant.url, admitting(refusal, "/api/")) as one,
        telling(destination.url, admitting(refusal, "/api/")) as other,
    ):
        source, behind = (Endpoint(uri=teller.url, token="a-token") for teller in (one, other))
        report = migrated(source, behind, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(small_tenant.url, destination.url) == []
    kept = [request.path for request in (*one.seen, *other.seen) if not request.path.startswith("/api/")]
    tries = 5 if refusal.status == 200 else 1  # A page with status 200 may be the server's bad moment.
    assert sorted(set(kept)) == ["/ajax-api/2.0/mlflow/metrics/get-history-bulk", "/version"]
    assert kept.count("/ajax-api/2.0/mlflow/metrics/get-history-bulk") == tries
    assert any(INTERVAL in request.path for request in one.seen)


def test_everything_arrives_where_nothing_but_the_old_api_is_open(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    refusal = REFUSALS["a redirect to log in"]
    with telling(small_tenant.url, admitting(refusal, "/api/2.0/mlflow")) as gateway:
        source = Endpoint(uri=gateway.url, token="a-token")
        report = migrated(source, destination, tmp_path, accept=("not-counted",))
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(small_tenant.url, destination.url) == []


def test_a_file_that_neither_way_gives_is_named_with_what_both_said(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    forbidden = Reply(403, [(b"content-type", b"application/json")], b'{"error_code": "PERMISSION_DENIED"}')

    async def behave(request: Request, forward: Forward) -> Reply:
        if not request.path.startswith("/api/"):
            return REFUSALS["a redirect to log in"]
        reads_a_file = request.method == "GET" and request.path.endswith("read%20me.txt")
        return forbidden if reads_a_file else await forward()

    with telling(small_tenant.url, behave) as gateway:
        report = migrated(gateway.url, fresh_server(), tmp_path)
    assert (report.failures, report.exit_code) == ((), 3)
    said = dict(left_behind(report))["file-unreadable"]
    assert said.startswith("notes/read me.txt: source GET api/2.0/mlflow-artifacts/artifacts/")
    assert "PERMISSION_DENIED" in said and "source GET get-artifact: HTTP 302" in said
    assert "lets only /api/ through" in said


def test_everything_is_compared_where_a_token_opens_the_api_alone(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    migrated(small_tenant.url, destination, tmp_path)
    gate = admitting(REFUSALS["a redirect to log in"], "/api/")
    with telling(small_tenant.url, gate) as one, telling(destination.url, gate) as other:
        source, behind = (Endpoint(uri=teller.url, token="a-token") for teller in (one, other))
        assert told(verified(source, behind, Level.FULL, source_id=small_tenant.url)) == []


@pytest.fixture(scope="module")
def filled(servers: Servers) -> MlflowServer:
    """A server for the runs of these tests."""
    return servers.start()


def run_with(server: MlflowServer, points: int, *, steps: int) -> SourceId:
    """Make a run with so many points of the metric "loss", spread over so many steps around zero."""
    client = MlflowClient(server.url)
    run_id = client.create_run("0").info.run_id
    metrics = [Metric("loss", number / 7, number, number % steps - steps // 2) for number in range(points)]
    for start in range(0, points, 1000):
        client.log_batch(run_id, metrics[start : start + 1000])
    return SourceId(run_id)


@pytest.mark.anyio
async def test_what_the_api_thins_out_is_read_run_by_run(filled: MlflowServer) -> None:
    runs = {run_with(filled, number, steps=60): number for number in (5, 60, LONG + 300)}
    latest: Latest = dict.fromkeys(runs, (Point("loss", step=30),))
    with telling(filled.url, admitting(REFUSALS["404"], "/api/")) as gateway:
        async with connected(Endpoint(uri=gateway.url, token="a-token"), "source") as source:
            found = await histories(source, latest)
            read = {run_id for run_id, _ in found.read}
            points = {run: [point async for piece in found.of(run) for point in piece] for run in runs}
    assert read == {run for run, number in runs.items() if number < LONG}
    assert {run: len(set(found)) for run, found in points.items()} == runs
    assert min(point.step for point in points[next(iter(runs))]) == -30


@pytest.mark.anyio
async def test_the_address_of_a_bulk_call_is_no_longer_than_a_server_takes(filled: MlflowServer) -> None:
    latest: Latest = {SourceId(f"{number:032x}"): (Point("é" * 250),) for number in range(100)}
    async with connected(Endpoint(uri=filled.url), "source") as source:
        assert [len(call.runs) for call in shared(source, latest)] == [100]
        calls = shared(replace(source, capabilities=replace(source.capabilities, version=(2, 22))), latest)
    assert max(len(call.runs) for call in calls) * len(f"&run_ids={0:032x}") + 250 * len("%C3%A9") < 4094
    assert sum(len(call.runs) for call in calls) == 100
