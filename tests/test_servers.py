"""The servers and tenants that the other tests stand on."""

from collections.abc import Callable
from urllib.request import urlopen

import pytest
from mlflow import MlflowClient

from tests.support.oracle import BY_ID, compare, read
from tests.support.servers import MlflowServer, ServerFailed, Servers
from tests.support.tenant import Tenant


@pytest.mark.parametrize("backend", ["sqlite", "postgres"])
def test_a_fresh_server_is_empty_and_keeps_what_it_is_given(
    servers: Servers, fresh_server: Callable[..., MlflowServer], backend: str
) -> None:
    server = fresh_server(backend)
    client = MlflowClient(server.url, server.url)
    assert [experiment.name for experiment in client.search_experiments()] == ["Default"]
    client.create_experiment("kept")
    again = servers.restart(server)
    assert {experiment.name for experiment in client.search_experiments()} == {"Default", "kept"}
    again.stop()


def test_a_stopped_server_is_gone(servers: Servers) -> None:
    with servers.start() as server:
        assert server.running
    assert not server.running
    with pytest.raises(OSError, match="refused"):
        urlopen(f"{server.url}/health")


def test_a_server_that_does_not_start_shows_its_log(servers: Servers) -> None:
    with pytest.raises(ServerFailed, match="No such option"):
        servers.start(args=["--nonsense"])


def test_the_small_tenant_is_read_and_equal_to_itself(small_tenant: Tenant) -> None:
    snapshot = read(small_tenant.url)
    assert compare(snapshot, snapshot, match=BY_ID, include_deleted=True) == []
    assert len(snapshot.runs) == len(small_tenant.runs)


def test_the_old_tenant_is_read_and_equal_to_itself(old_tenant: Tenant) -> None:
    snapshot = read(old_tenant.url)
    assert compare(snapshot, snapshot, match=BY_ID, include_deleted=True) == []
    assert len(snapshot.runs) == len(old_tenant.runs)
    assert not snapshot.logged_models
