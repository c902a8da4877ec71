"""Wrong input and a hostile surrounding: one clear sentence with what to do, and nothing is lost."""

import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from bulkexim import Endpoint
from bulkexim.engine.events import Event, Stepped
from bulkexim.errors import BulkeximError, FatalError, TemporaryTrouble, UsageError
from tests.conftest import StartServer
from tests.support.migrating import End, migrated
from tests.support.oracle import compare, read
from tests.support.servers import ADMIN, Servers
from tests.support.tenant import Tenant


def _refused(kind: type[BulkeximError], source: End, destination: End, work_dir: Path) -> BulkeximError:
    """The error that stops a migration; it is a sentence, has a remedy and shows no secret."""
    with pytest.raises(kind) as caught:
        migrated(source, destination, work_dir)
    error = caught.value
    assert type(error) is kind
    assert error.remedy
    assert "hunter2" not in str(error)
    return error


@contextmanager
def _answering(status: int, body: bytes = b"", **headers: str) -> Iterator[str]:
    """A server that is no MLflow: it gives one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - so the base class wants it

        def log_message(self, *args: object) -> None:
            """Stay silent."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("status", [200, 404, 403])
def test_a_page_instead_of_mlflow(small_tenant: Tenant, tmp_path: Path, status: int) -> None:
    with _answering(status, b"<html><body>Welcome!</body></html>", **{"content-type": "text/html"}) as portal:
        error = _refused(FatalError, portal, small_tenant.url, tmp_path)
    assert "source" in str(error)


def test_a_server_that_redirects(small_tenant: Tenant, tmp_path: Path) -> None:
    with _answering(302, location="https://login.example.org/?token=hunter2") as portal:
        error = _refused(FatalError, portal, small_tenant.url, tmp_path)
    assert "redirects to https://login.example.org/" in error.problem


@pytest.mark.parametrize("address", ["ftp://host/", "http://", "postgresql://bob:hunter2@host/db", "not a url"])
def test_an_address_of_no_server(small_tenant: Tenant, tmp_path: Path, address: str) -> None:
    with pytest.raises(BulkeximError) as caught:
        migrated(small_tenant.url, address, tmp_path)
    assert caught.value.remedy
    assert "hunter2" not in str(caught.value)


def test_a_login(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server(basic_auth=True)
    wrong = Endpoint(uri=destination.url, username=ADMIN[0], password="hunter2")
    assert "the login was refused" in _refused(FatalError, small_tenant.url, wrong, tmp_path).problem
    _refused(FatalError, small_tenant.url, destination, tmp_path)

    right = Endpoint(uri=destination.url, username=ADMIN[0], password=ADMIN[1])
    report = migrated(small_tenant.url, right, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as ledger:
        assert ADMIN[1] not in "\n".join(ledger.iterdump())


def test_a_workspace_of_a_server_without_any(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = Endpoint(uri=fresh_server().url, workspace="team-a")
    error = _refused(FatalError, small_tenant.url, destination, tmp_path)
    assert "workspaces are not enabled on this server" in error.problem


def test_a_work_directory_that_cannot_be_made(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    error = _refused(UsageError, small_tenant.url, fresh_server(), tmp_path / "file" / "work")
    assert str(tmp_path / "file") in error.problem


def test_the_ledger_of_another_pair(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    assert migrated(small_tenant.url, destination, tmp_path).exit_code == 0
    error = _refused(FatalError, destination, small_tenant.url, tmp_path)
    assert small_tenant.url in error.problem
    assert "--work-dir" in error.remedy
    assert compare(small_tenant.url, destination.url) == []


@pytest.mark.parametrize("kept", [100, 4096 * 3 + 100])
def test_half_a_ledger(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path, kept: int) -> None:
    destination = fresh_server()
    assert migrated(small_tenant.url, destination, tmp_path).exit_code == 0
    before = read(destination.url)
    os.truncate(tmp_path / "ledger.db", kept)
    error = _refused(FatalError, small_tenant.url, destination, tmp_path)
    assert "is damaged" in error.problem

    (tmp_path / "ledger.db").rename(tmp_path / "moved away.db")
    report = migrated(small_tenant.url, destination, tmp_path)
    assert (report.failures, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert compare(small_tenant.url, after) == []
    assert after.runs.keys() == before.runs.keys()


def test_a_full_disk(small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(event: Event) -> None:
        if isinstance(event, Stepped) and event.kind == "run" and event.state == "created":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1, limits[1]))

    try:
        with pytest.raises(TemporaryTrouble, match=r"cannot be written .* nothing is lost"):
            migrated(small_tenant.url, destination, tmp_path, fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert migrated(small_tenant.url, destination, tmp_path).exit_code == 0
    assert compare(small_tenant.url, destination.url) == []


def test_a_destination_that_was_down_gets_the_rest_when_it_is_back(
    servers: Servers, small_tenant: Tenant, tmp_path: Path
) -> None:
    destination = servers.start()
    assert migrated(small_tenant.url, destination, tmp_path, experiments=("small and empty",)).exit_code == 0
    destination.stop()
    error = _refused(TemporaryTrouble, small_tenant.url, destination, tmp_path)
    assert f"destination {destination.url}/ does not answer" in error.problem
    assert error.exit_code == 5
    with servers.restart(destination):
        assert migrated(small_tenant.url, destination, tmp_path).exit_code == 0
        assert compare(small_tenant.url, destination.url) == []
