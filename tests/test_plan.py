"""The dry run: it writes nothing, and says what the migration then does."""

import re
from pathlib import Path

import pytest

from tests.conftest import StartServer
from tests.support.migrating import changes, foretold, migrated, planned
from tests.support.oracle import read
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant

SEARCHES = re.compile(r'"POST /(api|ajax-api)/[\d.]+/mlflow/(\w|-)+/search(-\w+)? ')
LOGGED = re.compile(r'"(POST|PUT|PATCH|DELETE) /[^"]*"')


def _writes(server: MlflowServer, since: int) -> list[str]:
    """Calls in the access log, from a position on, that may have changed something."""
    text = server.log.read_bytes()[since:].decode()
    return [found[0] for found in LOGGED.finditer(text) if not SEARCHES.match(found[0])]


def _size(server: MlflowServer) -> int:
    return server.log.stat().st_size


@pytest.mark.parametrize("settings", [{"include_deleted": True}, {"artifacts": False}, {"models": ("churn*",)}])
def test_a_plan_writes_nothing_and_comes_true(
    source_server: MlflowServer, tenant: Tenant, fresh_server: StartServer, tmp_path: Path, settings: dict[str, object]
) -> None:
    destination = fresh_server()
    before, positions = read(destination.url), (_size(source_server), _size(destination))

    plan = planned(tenant.url, destination, tmp_path / "work", **settings)

    assert _writes(source_server, positions[0]) == []
    assert _writes(destination, positions[1]) == []
    assert changes(before, read(destination.url)) == []
    assert list(tmp_path.iterdir()) == []
    report = migrated(tenant.url, destination, tmp_path / "work", **settings)
    assert report.failures == ()
    listed = [kind for kind in report.kinds if kind.found]
    assert {kind.kind: kind.to_move for kind in plan.kinds} == {kind.kind: kind.moved for kind in listed}
    assert {kind.kind: kind.bytes for kind in plan.kinds} == {kind.kind: kind.bytes for kind in listed}
    assert plan.uncarried == report.uncarried
    assert set(plan.remarks) <= set(report.remarks)
    assert foretold(plan, report)
    again = planned(tenant.url, destination, tmp_path / "work", **settings)
    assert {kind.kind: kind.already for kind in again.kinds} == {kind.kind: kind.found for kind in again.kinds}
