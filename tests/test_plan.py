"""The dry run: it writes nothing, and says what the migration then does."""

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient

from bulkexim.cli import table
from bulkexim.ledger.files import locked
from bulkexim.left_behind import Cause
from tests.conftest import StartServer
from tests.support.migrating import changes, foretold, left_behind, migrated, planned
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


def test_a_plan_tells_what_the_migration_then_meets(fresh_server: StartServer, tmp_path: Path) -> None:
    """Names that are taken, and files for which the destination has no way; nothing is written to find that out."""
    source = fresh_server()
    root = tmp_path / "root"
    destination = fresh_server(args=["--no-serve-artifacts", "--default-artifact-root", str(root)])
    src, dst = (MlflowClient(server.url, server.url) for server in (source, destination))
    dst.delete_experiment(dst.create_experiment("in the bin there"))
    dst.create_registered_model("of somebody else")
    for name in ("in the bin there", "free"):
        home = src.create_experiment(name)
        run_id = src.create_run(home).info.run_id
        (tmp_path / "empty").write_bytes(b"")
        (tmp_path / "small").write_bytes(b"1")
        for file in ("empty", "small"):
            src.log_artifact(run_id, str(tmp_path / file))
    src.create_registered_model("of somebody else")
    src.create_registered_model("free")

    position = _size(destination)
    plan = planned(source, destination, tmp_path / "work")
    assert _writes(destination, position) == []
    report = migrated(source, destination, tmp_path / "work")

    missing = {(one.kind, one.name, one.error) for one in plan.failures}
    assert {name for _, name, _ in missing} == {"in the bin there", "of somebody else"}
    assert missing == {(one.kind, one.name, one.error) for one in report.failures if one.kind != "run"}
    assert plan.failing == 2
    (refused,) = plan.left_behind
    assert {left.detail for left in refused.first} == {detail for _, detail in left_behind(report)}
    assert (refused.cause, refused.number) == (Cause.FILE_REFUSED, 2)
    assert plan.exit_code == report.exit_code == 3


def test_a_plan_ends_as_the_migration_would_where_something_stays_behind(
    fresh_server: StartServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, destination = fresh_server(), fresh_server()
    MlflowClient(source.url, source.url).register_prompt("greeting", "Hello")
    for accept in ((), ("prompt",)):
        plan = planned(source, destination, tmp_path / "work", accept=accept)
        report = migrated(source, destination, tmp_path / "work", accept=accept)
        assert plan.not_accepted == report.not_accepted
        assert plan.exit_code == report.exit_code == (0 if accept else 3)
        table.show_plan(plan)
        assert ("may stay there, add --accept prompt" in capsys.readouterr().out) is not bool(accept)


def test_a_plan_tells_what_would_keep_the_migration_from_beginning(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    (tmp_path / "file").touch()
    with locked(tmp_path / "held"):
        plans = [planned(small_tenant.url, destination, tmp_path / name) for name in ("file", "held", "free")]
    told = [[obstacle.problem.partition(" ")[0] for obstacle in plan.obstacles] for plan in plans]
    assert told == [[f"{tmp_path / 'file'}:"], ["Another"], []]
    assert [plan.exit_code for plan in plans] == [2, 5, 0]
