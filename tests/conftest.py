"""The fixtures of all tests: real MLflow servers, and tenants that nobody writes to after they are built."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before MLflow is imported anywhere: no telemetry, no long retries, and nobody's own server, credentials or proxy.
for _name in [name for name in os.environ if name.startswith("MLFLOW_") or name.lower().endswith("_proxy")]:
    del os.environ[_name]
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}

from bulkexim.http import retry  # noqa: E402
from tests.support.old_mlflow import VARIABLE, OldTenants, interpreter  # noqa: E402
from tests.support.postgres import PostgresCluster, PostgresUnavailable  # noqa: E402
from tests.support.servers import MlflowServer, Servers  # noqa: E402
from tests.support.tenant import Tenant, build_old_tenant, build_small_tenant, build_tenant  # noqa: E402

StartServer = Callable[..., MlflowServer]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The event loop that the migrator runs on."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _short_pauses() -> Iterator[None]:
    """Lets no test wait long between two tries of a call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retry, "FIRST_PAUSE", 0.01)
        yield


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Starts servers; all of them are stopped when the session ends."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    try:
        yield servers
    finally:
        servers.close()


@pytest.fixture(scope="module", autouse=True)
def _servers_of_the_module(servers: Servers) -> Iterator[None]:
    """Stops what the tests of a module started for all of them."""
    yield
    servers.end_module()


@pytest.fixture
def fresh_server(servers: Servers) -> Iterator[StartServer]:
    """Starts empty servers (``fresh_server()``, ``fresh_server("postgres", workers=2)``) that end with the test."""
    started: list[MlflowServer] = []

    def start(*args: object, **options: object) -> MlflowServer:
        if "postgres" in args or options.get("backend") == "postgres":
            _postgres_or_skip(servers)
        started.append(servers.start(*args, **options))  # type: ignore[arg-type]
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def source_server(servers: Servers) -> MlflowServer:
    """The server of ``tenant``; read it, never write to it (``servers.copy(source_server)`` is yours to change)."""
    return servers.keep(servers.start())


@pytest.fixture(scope="session")
def tenant(source_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A tenant that holds every awkward case we know of."""
    return build_tenant(source_server.url, _scratch(tmp_path_factory))


@pytest.fixture(scope="session")
def small_server(servers: Servers) -> MlflowServer:
    """The server of ``small_tenant``; read it, never write to it."""
    return servers.keep(servers.start())


@pytest.fixture(scope="session")
def small_tenant(small_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """A few objects of each kind that is moved, for cheap tests."""
    return build_small_tenant(small_server.url, _scratch(tmp_path_factory))


@pytest.fixture(scope="session")
def postgres(servers: Servers) -> PostgresCluster:
    """A PostgreSQL cluster; the test is skipped where there is none."""
    return _postgres_or_skip(servers)


@pytest.fixture(scope="session")
def mlflow_python() -> Callable[[str], str]:
    """Gives the interpreter with an MLflow such as "2.9"; the test is skipped where the variable names none."""

    def find(version: str) -> str:
        python = interpreter(version)
        if python is None:
            pytest.skip(f"{VARIABLE} names no interpreter with MLflow {version}")
        return python

    return find


@pytest.fixture(scope="session")
def old_python(mlflow_python: Callable[[str], str]) -> str:
    """An interpreter with MLflow 2.22."""
    return mlflow_python("2.22")


@pytest.fixture(scope="session")
def old_tenants(servers: Servers) -> OldTenants:
    """Tenants at servers of old versions, built by their own clients; read them, never write to them."""
    return OldTenants(servers)


@pytest.fixture(scope="session")
def old_server(servers: Servers, old_python: str) -> MlflowServer:
    """The server of ``old_tenant``, MLflow 2.22 on gunicorn; read it, never write to it."""
    return servers.keep(servers.start(python=old_python, workers=2))


@pytest.fixture(scope="session")
def old_tenant(old_server: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Tenant:
    """What of ``tenant`` an MLflow 2.22 server can hold."""
    return build_old_tenant(old_server.url, _scratch(tmp_path_factory))


def _postgres_or_skip(servers: Servers) -> PostgresCluster:
    try:
        return servers.postgres()
    except PostgresUnavailable as reason:
        pytest.skip(str(reason))


def _scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")
