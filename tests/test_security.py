"""What a migration never does: ask strangers, run what it moves, let others read its files, write to the source."""

from __future__ import annotations

import json
import os
import pickle
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from click.testing import CliRunner

from bulkexim import Endpoint
from bulkexim.cli.main import main
from bulkexim.config import Level
from bulkexim.ends import server as ends
from bulkexim.errors import FatalError
from bulkexim.http.transport import AiohttpTransport
from bulkexim.left_behind import Cause
from tests.support.faults.teller import Forward, Request, telling
from tests.support.faults.wire import Reply
from tests.support.migrating import migrated, moved
from tests.support.servers import ADMIN, Servers
from tests.support.tenant import Tenant
from tests.support.tenant.builder import Builder
from tests.support.verifying import told, verified
from tests.tiny_server import TinyServer, serving


@pytest.fixture
def trap() -> Iterator[TinyServer]:
    """A server that nobody has a reason to ask."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving()) as server:
        yield server


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The origins to which requests were sent."""
    origins: set[str] = set()

    class Recording(AiohttpTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            origins.add(str(request.url.copy_with(raw_path=b"")))
            return await super().handle_async_request(request)

    monkeypatch.setattr(ends, "AiohttpTransport", Recording)
    return origins


class TestAddressesInReplies:
    """A server may name any address in a reply; only those that the user gave are asked."""

    def test_no_other_server_is_asked_for_anything(
        self, servers: Servers, small_tenant: Tenant, trap: TinyServer, asked: set[str], tmp_path: Path
    ) -> None:
        elsewhere = f"http://127.0.0.1:{trap.port}"

        async def misleading(request: Request, forward: Forward) -> Reply:
            reply = await forward()
            if not any(value.startswith(b"application/json") for _, value in reply.headers):
                return reply
            return Reply(reply.status, reply.headers, json.dumps(_led(json.loads(reply.body), elsewhere)).encode())

        with servers.start() as server, telling(small_tenant.url, misleading) as source:
            with telling(server.url, misleading) as destination:
                report = migrated(source.url, destination.url, tmp_path, include_deleted=True)
                verified(source.url, destination.url, Level.FULL, include_deleted=True)
            assert {request.path for request in source.seen} > {"/api/2.0/mlflow/model-versions/get-download-uri"}
        assert report.kinds
        assert trap.connections == 0
        assert asked == {source.url, destination.url}

    @pytest.mark.parametrize(
        ("end", "route"),
        [
            ("source", "/api/2.0/mlflow/runs/search"),
            ("source", "/api/2.0/mlflow-artifacts/artifacts/"),
            ("destination", "/api/2.0/mlflow/runs/create"),
            ("destination", "/api/2.0/mlflow-artifacts/artifacts/"),
        ],
    )
    def test_a_redirect_takes_no_call_and_no_login_elsewhere(
        self, servers: Servers, small_tenant: Tenant, trap: TinyServer, tmp_path: Path, end: str, route: str
    ) -> None:
        async def redirecting(request: Request, forward: Forward) -> Reply:
            if request.path.startswith(route):
                return Reply(307, [(b"location", trap.url("/in").encode())], b"")
            return await forward()

        with servers.start() as server:
            urls = {"source": small_tenant.url, "destination": server.url}
            with telling(urls[end], redirecting) as teller:
                urls[end] = teller.url
                one, other = (Endpoint(uri=url, token="a-token") for url in urls.values())
                with pytest.raises(FatalError, match=f"redirects to {trap.url('/in')}"):
                    migrated(one, other, tmp_path)
        assert trap.connections == 0

    def test_a_cookie_is_not_brought_back(self, servers: Servers, small_tenant: Tenant, tmp_path: Path) -> None:
        async def generous(request: Request, forward: Forward) -> Reply:
            reply = await forward()
            return Reply(reply.status, [*reply.headers, (b"set-cookie", b"session=1; Path=/")], reply.body)

        with servers.start() as server, telling(small_tenant.url, generous) as source:
            with telling(server.url, generous) as destination:
                assert migrated(source.url, destination.url, tmp_path).exit_code == 0
            assert not any("cookie" in request.headers for request in (*source.seen, *destination.seen))


#: Fields in which a server says where something is.
_PLACES = ("artifact_uri", "artifact_location", "source", "run_link", "location")


def _led(reply: Any, elsewhere: str) -> Any:
    """A reply whose places are at another server: as whole addresses, as the authority of a scheme, as a path."""
    if isinstance(reply, list):
        return [_led(one, elsewhere) for one in reply]
    if not isinstance(reply, dict):
        return reply
    led = {key: _led(value, elsewhere) for key, value in reply.items()}
    for key in _PLACES:
        if isinstance(led.get(key), str):
            led[key] = _elsewhere(led[key], elsewhere)
    if "is_dir" in led and led["path"].endswith(".txt"):
        led["path"] = f"{elsewhere}/{led['path']}"
    return led


def _elsewhere(place: str, elsewhere: str) -> str:
    if place.startswith("mlflow-artifacts:/"):
        return place.replace(":/", f":{elsewhere.removeprefix('http:')}/", 1)
    return "models:/gone/7" if place.startswith("models:/") else f"{elsewhere}/{place}"


HOSTILE = """
import sys
heard = []
sys.addaudithook(lambda event, args: heard.append(event) if event == "pickle.find_class" else None)
from bulkexim.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(*heard, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


class _Bomb:
    """What is pickled of it makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return os.mkdir, (str(self.canary),)


def _hostile_files(canary: Path) -> dict[str, bytes]:
    """The files of a model that act when they are loaded, imported or read as YAML."""
    pickled = pickle.dumps(_Bomb(canary))
    acts = f"import os; os.mkdir({str(canary)!r})".encode()
    yaml = f"run: !!python/object/apply:os.mkdir [{str(canary)!r}]\n".encode()
    return {
        "model/MLmodel": b"flavors:\n  python_function:\n    loader_module: code.loader\n" + yaml,
        "model/model.pkl": pickled,
        "model/python_model.pkl": pickled,
        "model/data/model.pth": pickled,
        "model/conda.yaml": yaml,
        "model/code/loader.py": acts,
        "model/code/sitecustomize.py": acts,
        "model/input_example.json": b'{"__reduce__": "os.mkdir"}',
    }


def test_nothing_that_is_moved_is_unpickled_imported_or_run(servers: Servers, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    with servers.start() as source, servers.start() as destination, Builder(source.url, tmp_path) as build:
        build.experiment("plain", "hostile")
        build.run("hostile")
        for path, content in _hostile_files(canary).items():
            build.put("hostile", path, content)
        args = ["--src-uri", source.url, "--dst-uri", destination.url, "--work-dir", str(tmp_path / "work")]
        done = subprocess.run(
            [sys.executable, "-c", HOSTILE, "migrate-workspace", *args, "--verify", "full"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            cwd=Path(__file__).parent.parent,
        )
        assert done.returncode == 0, done.stderr
    present = set(done.stderr.splitlines()[-1].split())
    assert "bulkexim" in present
    assert present.isdisjoint({"pickle.find_class", "mlflow", "cloudpickle", "sklearn", "torch", "yaml", "joblib"})
    assert not canary.exists()


@contextmanager
def _careless() -> Iterator[None]:
    previous = os.umask(0)
    try:
        yield
    finally:
        os.umask(previous)


def test_every_file_of_a_migration_is_private_whatever_the_user_lets_others_do(
    servers: Servers, small_tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_dir = tmp_path / "work"
    during: set[str] = set()

    async def looking(request: Request, forward: Forward) -> Reply:
        during.update(path.name for path in work_dir.iterdir())
        assert _open_to_others(work_dir) == []
        return await forward()

    with servers.start() as server, telling(small_tenant.url, looking) as source, _careless():
        args = ["migrate-workspace", "--src-uri", source.url, "--dst-uri", server.url, "--work-dir", str(work_dir)]
        assert CliRunner().invoke(main, [*args, "--verify", "counts"]).exit_code == 0
        monkeypatch.setattr("bulkexim.engine.migration.transfer", None)  # a bug
        assert CliRunner().invoke(main, args).exit_code == 1
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm", "lock", "logs"} <= during
    assert [path.name for path in work_dir.glob("crash-*.txt")]
    assert _open_to_others(work_dir) == []


def test_a_ledger_that_others_could_read_is_closed_to_them(
    servers: Servers, small_tenant: Tenant, tmp_path: Path
) -> None:
    with servers.start() as server:
        assert migrated(small_tenant.url, server, tmp_path / "work").exit_code == 0
        (tmp_path / "work" / "ledger.db").chmod(0o666)
        assert migrated(small_tenant.url, server, tmp_path / "work").exit_code == 0
    assert _open_to_others(tmp_path / "work") == []


def _open_to_others(work_dir: Path) -> list[str]:
    every = [work_dir, *work_dir.rglob("*")]
    return [f"{path.name} {mode:o}" for path in every if (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077]


#: Every call that the source may get; none of them changes anything there.
READING = (
    r"GET /version",
    r"GET /api/3\.0/mlflow/server-info",
    r"POST /api/2\.0/mlflow/experiments/search",
    r"GET /api/2\.0/mlflow/experiments/get",
    r"POST /api/2\.0/mlflow/runs/search",
    r"GET /api/2\.0/mlflow/runs/get",
    r"GET /(ajax-api/2\.0/mlflow/metrics/get-history-bulk|api/2\.0/mlflow/metrics/get-history)",
    r"POST /api/2\.0/mlflow/logged-models/search",
    r"GET /api/2\.0/mlflow/logged-models/m-[0-9a-f]{32}(/artifacts/directories)?",
    r"GET /api/2\.0/mlflow/artifacts/list",
    r"GET /api/2\.0/mlflow/registered-models/search",
    r"GET /api/2\.0/mlflow/model-versions/(search|get-download-uri)",
    r"GET /api/2\.0/mlflow-artifacts/artifacts(/.*)?",
    r"POST /api/3\.0/mlflow/(traces|datasets|issues)/search",
    r"GET /api/3\.0/mlflow/(scorers/list|gateway/endpoints/list|mcp-servers)",
    r"GET /api/2\.0/mlflow/webhooks",
)


AUTH = """
[mlflow]
default_permission = READ
database_uri = sqlite:///basic_auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 600
"""


class TestTheSource:
    """It is only read."""

    def test_it_gets_no_call_but_reading_ones(self, servers: Servers, tenant: Tenant, tmp_path: Path) -> None:
        with servers.start() as destination, telling(tenant.url) as source:
            migrated(source.url, destination, tmp_path, include_deleted=True)
            verified(source.url, destination, include_deleted=True)
        calls = {f"{request.method} {request.path}" for request in source.seen}
        assert {call for call in calls if not any(re.fullmatch(one, call) for one in READING)} == set()

    def test_who_may_only_read_it_can_move_all_of_it(
        self, servers: Servers, small_tenant: Tenant, tmp_path: Path
    ) -> None:
        # Each request has its password hashed anew, unless the server may remember it.
        (tmp_path / "auth.ini").write_text(AUTH)
        env = {"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini")}
        with servers.start(basic_auth=True, env=env) as source, servers.start() as destination:
            admin = Endpoint(uri=source.url, username=ADMIN[0], password=ADMIN[1])
            assert migrated(small_tenant.url, admin, tmp_path / "there").exit_code == 0
            with httpx.Client(base_url=f"{source.url}/api/2.0/mlflow", auth=ADMIN, trust_env=False) as http:
                user = {"username": "reader", "password": "may-only-read-it"}
                http.post("/users/create", json=user).raise_for_status()
                reader = Endpoint(uri=source.url, **user)  # type: ignore[arg-type]  # all of them are texts
                http.auth = httpx.BasicAuth(*user.values())
                change = {"experiment_id": "0", "key": "a", "value": "b"}
                assert http.post("/experiments/set-experiment-tag", json=change).status_code == 403
            report = migrated(reader, destination, tmp_path / "and on")
            assert (report.failed, moved(report)) == (0, 10)
            # Some kinds that are not moved are counted by an administrator only.
            assert {one.cause for one in report.left_behind} == {Cause.NOT_COUNTED}
            assert told(verified(reader, destination)) == []
