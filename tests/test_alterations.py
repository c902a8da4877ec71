"""A slice of campaign V1: seeded alterations of a destination, all of them found and named, and nothing besides."""

import contextlib
import sqlite3
from dataclasses import replace
from random import Random

import pytest

from bulkexim.config import Level
from tests.support.campaigns.alter import alter, judged
from tests.support.campaigns.alterations import GENERATORS, Alteration, Store
from tests.support.campaigns.alterations.coverage import untouched
from tests.support.migrating import migrated
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.verifying import told, verified


@pytest.fixture(scope="module")
def destination(servers: Servers, tenant: Tenant, tmp_path_factory: pytest.TempPathFactory) -> MlflowServer:
    """Where the tenant was moved, deleted objects included."""
    server = servers.start()
    report = migrated(tenant.url, server, tmp_path_factory.mktemp("work"), include_deleted=True)
    assert report.exit_code == 0
    return server


@pytest.fixture(scope="module")
def store(destination: MlflowServer) -> Store:
    return Store(destination)


def test_every_column_that_a_migration_fills_is_altered_or_left_alone_for_a_reason(store: Store) -> None:
    assert untouched(store, GENERATORS) == []


def test_a_table_that_nothing_alters_is_named(store: Store) -> None:
    known = [generator for generator in GENERATORS if not any(table == "params" for table, _ in generator.columns)]
    assert untouched(store, known) == ["params.key", "params.value"]


def test_every_kind_of_alteration_is_possible_in_the_tenant(store: Store) -> None:
    chance = Random(1)
    never = [one.what for one in GENERATORS if not any(one(store, chance) for _ in range(50))]
    assert never == []


def test_alterations_are_found_and_named_and_nothing_else_is(
    servers: Servers, tenant: Tenant, destination: MlflowServer
) -> None:
    compared = alter(servers, tenant.url, destination, count=40, seed=3)
    assert (compared.missed, compared.false_alarms) == ((), ())
    assert (compared.alterations, compared.found, compared.clean_pairs) == (40, 40, 6)
    assert len(compared.by_kind) == 40


def test_what_is_not_told_in_full_is_missed_and_what_is_told_besides_is_a_false_alarm(store: Store) -> None:
    one, other = (_first(store, what) for what in ("runs.name changed", "versions: contents swapped"))
    line, beside = next(iter(one.told)), replace(one, told=other.told)
    assert judged([one, other], [*one.told, *other.told]) == ([], [])
    assert judged([one, other], sorted(other.told)) == ([one], [])
    assert judged([other], [line, *sorted(other.told)[1:]]) == ([other], [line])
    assert judged([one], [line._replace(field="status")]) == ([one], [line._replace(field="status")])
    # A line stands for one alteration, not for two.
    assert judged([other, beside], sorted(other.told)) == ([beside], [])


def _first(store: Store, what: str) -> Alteration:
    generator = next(one for one in GENERATORS if one.what == what)
    chance = Random(1)
    return next(made for made in (generator(store, chance) for _ in range(50)) if made)


def _altered(server: MlflowServer, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(server.database)) as database, database:
        assert database.execute(statement).rowcount > 0


def test_what_is_in_the_bin_is_not_there_even_where_only_objects_are_counted(
    servers: Servers, tenant: Tenant, destination: MlflowServer
) -> None:
    server = servers.copy(destination)
    _altered(server, "UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'killed'")
    _altered(server, "UPDATE runs SET lifecycle_stage = 'active' WHERE name = 'deleted'")
    _altered(server, "UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'no runs here'")
    _altered(server, "UPDATE logged_models SET lifecycle_stage = 'deleted' WHERE name = 'beside deleted'")
    active, deleted = "expected active, found deleted", "expected deleted, found active"
    assert sorted(told(verified(tenant.url, server, Level.COUNTS, include_deleted=True))) == [
        f"experiment no runs here differs lifecycle: {active}",
        f"logged_model beside deleted differs lifecycle: {active}",
        f"run deleted differs lifecycle: {deleted}",
        f"run killed differs lifecycle: {active}",
    ]


def test_a_placeholder_that_was_left_in_a_gap_is_told_as_one(
    servers: Servers, tenant: Tenant, destination: MlflowServer
) -> None:
    server = servers.copy(destination)
    _altered(
        server,
        "UPDATE model_versions SET current_stage = 'None', source = 's3://bucket/x' "
        "WHERE name = 'starts at three' AND version = 4",
    )
    assert told(verified(tenant.url, server, include_deleted=True)) == [
        "model_version starts at three version 4 extra a placeholder that a migration left in a gap"
    ]


def test_of_two_versions_that_came_from_one_the_one_with_its_number_is_the_version(
    servers: Servers, tenant: Tenant, destination: MlflowServer
) -> None:
    server = servers.copy(destination)
    _altered(server, "UPDATE model_versions SET current_stage = 'None' WHERE name = 'starts at three' AND version = 2")
    _altered(
        server,
        "INSERT INTO model_version_tags SELECT key, value, name, 2, workspace FROM model_version_tags "
        "WHERE name = 'starts at three' AND version = 5",
    )
    assert told(verified(tenant.url, server, include_deleted=True)) == [
        "model_version starts at three version 2 extra doubled: starts at three/5 came from the same object"
    ]


def test_a_dataset_that_a_run_has_twice_is_told(servers: Servers, tenant: Tenant, destination: MlflowServer) -> None:
    server = servers.copy(destination)
    _altered(
        server,
        "INSERT INTO inputs SELECT 'another link', 'DATASET', d.dataset_uuid, 'RUN', r.run_uuid, 0 "
        "FROM datasets d JOIN experiments e ON e.experiment_id = d.experiment_id, runs r "
        "WHERE e.name = 'evaluation' AND r.name = 'inputs'",
    )
    lines = told(verified(tenant.url, server, include_deleted=True))
    again = "run inputs differs dataset inputs / train (aaaa1111) again / "
    assert [line.removeprefix(again).split(":")[0] for line in lines] == ["profile", "schema", "source", "source_type"]


def test_logged_models_that_were_moved_before_are_known_where_they_are_left_out(
    tenant: Tenant, destination: MlflowServer
) -> None:
    settings = {"include_deleted": True, "without": ("logged_model",)}
    for level in Level:
        assert told(verified(tenant.url, destination, level, **settings)) == []
