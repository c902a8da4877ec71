"""Workspaces of MLflow 3.10 and later: from one, into one, and between two of the same server."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from bulkexim import Endpoint
from bulkexim.errors import FatalError
from tests.conftest import StartServer
from tests.support.migrating import migrated, moved
from tests.support.oracle import BY_ID, Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant, build_small_tenant


@contextmanager
def _inside(workspace: str) -> Iterator[None]:
    """Lets MLflow's client, and the oracle and builder beside it, work in one workspace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_WORKSPACE", workspace)
        patch.setattr(httpx, "Client", partial(httpx.Client, headers={"X-MLFLOW-WORKSPACE": workspace}))
        yield


def _read(server: MlflowServer, workspace: str) -> Snapshot:
    with _inside(workspace):
        return read(server.url)


def _differences(source: Snapshot, destination: Snapshot) -> list[str]:
    """What differs, deleted objects included; a workspace may be without the experiment that every server has."""
    lines = compare(source, destination, include_deleted=True)
    return [line for line in lines if line != "experiment 'Default': extra at the destination"]


@pytest.fixture(scope="module")
def shared(servers: Servers) -> MlflowServer:
    """A server with three workspaces beside the default one."""
    server = servers.start(args=["--enable-workspaces"])
    for name in ("team-a", "team-b", "team-c"):
        httpx.post(f"{server.url}/api/3.0/mlflow/workspaces", json={"name": name}, trust_env=False).raise_for_status()
    return server


@pytest.fixture(scope="module")
def team_a(shared: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """A small tenant in the workspace team-a; nobody changes it."""
    with _inside("team-a"):
        build_small_tenant(shared.url, tmp_path_factory.mktemp("scratch"))
        return read(shared.url)


def test_a_workspace_arrives_at_a_server_without_any(
    shared: MlflowServer, team_a: Snapshot, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    source = Endpoint(uri=shared.url, workspace="team-a")
    report = migrated(source, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert _differences(team_a, read(destination.url)) == []


def test_a_workspace_is_moved_to_another_one_of_the_same_server(
    shared: MlflowServer, team_a: Snapshot, tmp_path: Path
) -> None:
    ends = Endpoint(uri=shared.url, workspace="team-a"), Endpoint(uri=shared.url, workspace="team-b")
    report = migrated(*ends, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert _differences(team_a, _read(shared, "team-b")) == []
    assert moved(migrated(*ends, tmp_path, include_deleted=True)) == 0
    assert compare(team_a, _read(shared, "team-a"), include_deleted=True, match=BY_ID) == []


def test_a_server_without_workspaces_arrives_in_one(shared: MlflowServer, small_tenant: Tenant, tmp_path: Path) -> None:
    destination = Endpoint(uri=shared.url, workspace="team-c")
    report = migrated(small_tenant.url, destination, tmp_path, include_deleted=True)
    assert (report.failures, report.exit_code) == ((), 0)
    assert compare(small_tenant.url, _read(shared, "team-c"), include_deleted=True) == []
    untouched = _read(shared, "default")
    assert (len(untouched.runs), len(untouched.registered_models)) == (0, 0)


def test_a_workspace_that_does_not_exist_is_told(shared: MlflowServer, small_tenant: Tenant, tmp_path: Path) -> None:
    with pytest.raises(FatalError, match=r"destination .*workspace nobody.*Check address, workspace and login"):
        migrated(small_tenant.url, Endpoint(uri=shared.url, workspace="nobody"), tmp_path)
