"""The two ends and their addresses: nothing is moved twice or into its own server, whatever the address is called."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from mlflow import MlflowClient

from bulkexim import Endpoint
from bulkexim.config import Level
from bulkexim.errors import FatalError, UsageError
from bulkexim.ids import IDENTITY_TAG, MARKER_TAG, SourceId, marker
from tests.conftest import StartServer
from tests.support.migrating import changes, migrated, moved, planned
from tests.support.oracle import compare, read
from tests.support.servers import ADMIN, MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified


def also(server: MlflowServer | Tenant) -> str:
    """Returns another address of a server."""
    return server.url.replace("127.0.0.1", "localhost")


def as_before(server: MlflowServer) -> str:
    """Returns the address by which a server was known before."""
    return server.url


def client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(server.url, server.url)


def forget(server: MlflowServer, tags: Sequence[str]) -> None:
    """Takes tags away from whatever bears them."""
    with closing(sqlite3.connect(server.database)) as database, database:
        for table in ("experiment_tags", "registered_model_tags"):
            database.executemany(f"DELETE FROM {table} WHERE key = ?", [(tag,) for tag in tags])


def test_another_address_of_the_source_goes_on_with_its_ledger_as_the_sentence_says(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    migrated(small_tenant.url, destination, tmp_path)
    with pytest.raises(FatalError, match=f"If both are the same server, add --source-id {small_tenant.url}:"):
        migrated(also(small_tenant), destination, tmp_path)
    assert moved(migrated(also(small_tenant), destination, tmp_path, source_id=small_tenant.url)) == 0
    assert told(verified(also(small_tenant), destination, source_id=small_tenant.url)) == []


CREATED = "bulkexim.source.creation_time"


@pytest.mark.parametrize("forgotten", [[], [IDENTITY_TAG], [IDENTITY_TAG, CREATED]], ids=["all", "name", "times"])
def test_a_source_that_came_under_another_address_is_recognised_without_a_ledger(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path, forgotten: list[str]
) -> None:
    destination = fresh_server()
    migrated(small_tenant.url, destination, tmp_path / "one")
    forget(destination, forgotten)
    before = read(destination.url)
    for attempt in (migrated, planned):
        with pytest.raises(FatalError, match=r"from this same source.* under .*Going on would put .* twice") as error:
            attempt(also(small_tenant), destination, tmp_path / "other")
        assert f"Add --source-id {'and the address' if forgotten else small_tenant.url}" in error.value.remedy
    assert changes(before, read(destination.url)) == []
    report = migrated(also(small_tenant), destination, tmp_path / "other", source_id=small_tenant.url)
    assert (report.warnings, report.exit_code) == ((), 0)
    after = read(destination.url)
    assert [after.runs.keys(), after.versions.keys()] == [before.runs.keys(), before.versions.keys()]
    assert compare(small_tenant.url, after) == []
    report = migrated(also(small_tenant), destination, tmp_path / "other", source_id=small_tenant.url)
    assert (moved(report), report.warnings) == (0, ())


def test_registered_models_alone_give_the_other_address_away(fresh_server: StartServer, tmp_path: Path) -> None:
    source, destination = fresh_server(), fresh_server()
    client(source).create_registered_model("net")
    client(source).create_model_version("net", "s3://bucket/net")
    migrated(source, destination, tmp_path / "one", models="all")
    with pytest.raises(FatalError, match=r"holds the registered model 'net' from this same source") as error:
        migrated(also(source), destination, tmp_path / "other", models="all")
    assert f"Add --source-id {source.url}:" in error.value.remedy


def test_whoever_wants_everything_twice_gets_it_and_a_comparison_names_it(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    migrated(small_tenant.url, destination, tmp_path / "one", experiments="all")
    report = migrated(also(small_tenant), destination, tmp_path / "other", experiments="all", allow_duplicates=True)
    assert (report.failed, len(report.warnings)) == (0, 1)
    assert len(read(destination.url).runs) == 2 * 3
    for source in (small_tenant.url, also(small_tenant)):
        lines = told(verified(source, destination, experiments="all"))
        doubled = "extra doubled: it came from the same object under another --source-id"
        names = ("run child", "run other", "run parent", "logged_model net")
        assert {f"{name} {doubled}" for name in names} <= set(lines)


def test_a_comparison_names_experiments_and_models_that_are_there_twice_under_other_names(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server()
    for name in ("one", "shared"):
        client(source).create_experiment(name)
    client(source).create_registered_model("net")
    renames = {"experiment_renames": {"one": "another"}, "model_renames": {"net": "another net"}}
    migrated(source, destination, tmp_path / "one")
    migrated(also(source), destination, tmp_path / "other", allow_duplicates=True, **renames)
    doubled = "extra doubled: it came from the same object under another --source-id"
    lines = told(verified(source, destination))
    assert lines == [f"experiment another {doubled}", f"registered_model another net {doubled}"]
    lines = told(verified(also(source), destination, Level.CONTENT, **renames))
    assert lines == [f"experiment one {doubled}", f"registered_model net {doubled}"]


def test_what_another_source_brought_is_no_cause_for_a_warning(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    other, destination = fresh_server(), fresh_server()
    client(other).create_experiment("of the other")
    client(other).create_run("0")
    migrated(other, destination, tmp_path / "other")
    for work_dir in ("one", "again"):
        report = migrated(small_tenant.url, destination, tmp_path / work_dir)
        assert (report.failures, report.warnings) == ((), ())
    report = migrated(other, destination, tmp_path / "other again")
    assert (report.failures, report.warnings) == ((), ())


def test_where_nobody_can_tell_two_sources_apart_that_is_told(fresh_server: StartServer, tmp_path: Path) -> None:
    one, other, destination = fresh_server(), fresh_server(), fresh_server()
    for source in (one, other):
        client(source).create_experiment("shared")
    migrated(one, destination, tmp_path / "one")
    forget(destination, [IDENTITY_TAG, CREATED])
    report = migrated(other, destination, tmp_path / "other")
    told = "experiments of another source with the ids and names of some here (such as 'shared')"
    assert [told in warning and "--source-id" in warning for warning in report.warnings].count(True) == 1
    assert report.exit_code == 0


def an_experiment(server: MlflowServer) -> None:
    client(server).create_experiment("one")


def a_run(server: MlflowServer) -> None:
    client(server).create_run("0")


def a_model(server: MlflowServer) -> None:
    client(server).create_registered_model("net")


@pytest.mark.parametrize("holds", [an_experiment, a_run, a_model])
def test_a_server_is_not_moved_into_itself(fresh_server: StartServer, tmp_path: Path, holds: StartServer) -> None:
    server = fresh_server()
    holds(server)
    before = read(server.url)
    for source, destination in [(server.url, also(server)), (also(server), server.url)]:
        for attempt in (migrated, planned):
            with pytest.raises(FatalError, match="Source and destination are one server"):
                attempt(source, destination, tmp_path, artifacts=False)
    with pytest.raises(FatalError, match=r"Source and destination are one server.*two workspaces"):
        verified(server.url, also(server))
    assert changes(before, read(server.url)) == []


def test_a_database_is_not_moved_into_its_own_server(fresh_server: StartServer, tmp_path: Path) -> None:
    server = fresh_server()
    a_run(server)
    before = read(server.url)
    with pytest.raises(FatalError, match="Source and destination are one server"):
        migrated(f"sqlite:///{server.database}", server, tmp_path, artifacts=False)
    assert changes(before, read(server.url)) == []


def test_the_same_address_is_refused_however_it_is_written(fresh_server: StartServer, tmp_path: Path) -> None:
    url = fresh_server().url
    for other in (url, f"{url}/", url.replace("http", "HTTP"), url.replace("//", "//somebody:secret@")):
        with pytest.raises(FatalError, match=f"Source and destination are the same: {url}/") as error:
            migrated(url, other, tmp_path)
        assert "secret" not in str(error.value)


def test_what_this_migration_made_stops_it_when_the_source_shows_it(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    middle, last = fresh_server(), fresh_server()
    migrated(small_tenant.url, middle, tmp_path / "one", source_id="tenant")
    sentence = r"The source holds the experiment '.*', which this migration made.*give a --source-id of your own"
    for attempt in (migrated, planned):
        with pytest.raises(FatalError, match=sentence):
            attempt(middle, last, tmp_path / "two", source_id="tenant")
    assert len(read(last.url).experiments) == 1
    report = migrated(middle, last, tmp_path / "two")
    assert (report.failures, report.warnings) == ((), ())


def test_a_copy_that_shows_up_in_the_middle_of_a_listing_stops_the_run(
    fresh_server: StartServer, tmp_path: Path
) -> None:
    source, destination = fresh_server(), fresh_server()
    origin = SourceId("0" * 32)
    tags = {MARKER_TAG: marker(source.url, "run", origin), "bulkexim.source.run_id": origin}
    client(source).create_run("0", tags=tags, run_name="copy")
    with pytest.raises(FatalError, match="The source holds the run 'copy', which this migration made"):
        migrated(source, destination, tmp_path)
    assert read(destination.url).runs == {}


@pytest.mark.parametrize("address", [as_before, also])
def test_swapped_ends_are_told(
    small_server: MlflowServer,
    small_tenant: Tenant,
    servers: Servers,
    fresh_server: StartServer,
    tmp_path: Path,
    address: Callable[[MlflowServer], str],
) -> None:
    first, second = servers.copy(small_server), fresh_server()
    migrated(first, second, tmp_path / "one")
    warnings = planned(second, address(first), tmp_path / "back").warnings
    assert [warning.partition(" experiments")[0] for warning in warnings] == ["The source holds 3"]
    assert "If --src-uri and --dst-uri are swapped, stop" in warnings[0]
    assert migrated(second, address(first), tmp_path / "back").warnings == warnings


def test_another_address_of_the_destination_is_recognised_by_what_the_ledger_brought_there(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination, another = fresh_server(), fresh_server()
    migrated(small_tenant.url, destination, tmp_path)
    report = migrated(small_tenant.url, also(destination), tmp_path)
    assert (moved(report), report.exit_code) == (0, 0)
    address = f"The destination was {destination.url} before. {also(destination)} holds runs that were moved there"
    assert [warning.startswith(address) for warning in report.warnings] == [True]
    assert migrated(small_tenant.url, also(destination), tmp_path).warnings == ()
    migrated(small_tenant.url, another, tmp_path / "another")
    with pytest.raises(FatalError, match=r"a migration to http://localhost:\d+, not to .*another --work-dir"):
        migrated(small_tenant.url, another, tmp_path)


def test_a_ledger_with_which_nothing_was_begun_is_anybodys(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path
) -> None:
    slip, destination = fresh_server(), fresh_server()
    with pytest.raises(UsageError, match="the source has no 'small experiment'"):
        migrated(slip, also(destination), tmp_path, experiments=("small experiment",))
    report = migrated(small_tenant.url, destination, tmp_path, experiments=("small experiment",))
    assert (report.failures, report.warnings) == ((), ())


AUTH = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///basic_auth.db
admin_username = admin
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
"""


def test_a_login_that_is_shown_nothing_is_no_success(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    (tmp_path / "auth.ini").write_text(AUTH)
    destination = fresh_server()
    with servers.start(basic_auth=True, env={"MLFLOW_AUTH_CONFIG_PATH": str(tmp_path / "auth.ini")}) as source:
        user = {"username": "newcomer", "password": "may-see-nothing"}
        with httpx.Client(base_url=f"{source.url}/api/2.0/mlflow", auth=ADMIN, trust_env=False) as http:
            http.post("/experiments/create", json={"name": "hidden"}).raise_for_status()
            http.post("/users/create", json=user).raise_for_status()
        ends = Endpoint(uri=source.url, **user), destination  # type: ignore[arg-type]  # all of them are texts
        warning = "The source shows no experiment, no run and no model at all: check the login and its rights."
        assert planned(*ends, tmp_path).warnings == (warning,)
        report = migrated(*ends, tmp_path)
        assert (report.warnings, report.exit_code) == ((warning,), 3)
        assert migrated(*ends, tmp_path, accept=("not-counted",)).exit_code == 0


def test_an_empty_server_is_told(fresh_server: StartServer, tmp_path: Path) -> None:
    report = migrated(fresh_server(), fresh_server(), tmp_path)
    warning = "The source shows no run and no model. If it holds any, check the login and its rights."
    assert (report.failures, report.warnings, report.exit_code) == ((), (warning,), 0)
