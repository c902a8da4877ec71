"""The oracle finds what differs, and nothing else."""

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.oracle import BY_ID, Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant
from tests.support.tenant.builder import NO_RUN

# Each statement changes one value of the copy; the line that the oracle is to say about it contains the text.
CHANGES = [
    ("UPDATE runs SET end_time = end_time + 1 WHERE name = 'values'", "end: expected 1700000060000"),
    ("UPDATE runs SET user_id = 'eve' WHERE name = 'values'", "user: expected 'ada', found 'eve'"),
    ("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'values'", "lifecycle: expected 'active'"),
    ("UPDATE tags SET value = 'x' WHERE key = 'tag.077'", "tags / tag.077: expected 'value 77'"),
    ("UPDATE tags SET value = 'x' WHERE key = 'mlflow.parentRunId'", "parent: expected"),
    ("UPDATE params SET value = value || 'x' WHERE key = 'long'", "params / long"),
    ("DELETE FROM metrics WHERE key = 'loss' AND step = 1717", "('loss', 1717, 1700000001717, "),
    ("UPDATE metrics SET is_nan = 0 WHERE key = 'twins' AND is_nan = 1", "'nan'): missing, expected 1"),
    ("UPDATE input_tags SET value = 'x' WHERE name = 'split'", "tags / split: expected '1/3', found 'x'"),
    ("UPDATE datasets SET dataset_schema = '{}' WHERE digest = 'cccc3333'", "datasets / untagged cccc3333"),
    ("UPDATE inputs SET step = 41 WHERE step = 40", "model outputs"),
    ("UPDATE experiment_tags SET value = 'x' WHERE key = 'mlflow.note.content'", "tags / mlflow.note.content"),
    ("UPDATE experiments SET lifecycle_stage = 'deleted' WHERE name = 'evaluation'", "lifecycle: expected 'active'"),
    ("UPDATE logged_models SET status = 1 WHERE name = 'handmade'", "status: expected 'READY', found 'PENDING'"),
    ("UPDATE logged_models SET source_run_id = 'x' WHERE name = 'net'", "run: expected"),
    ("UPDATE logged_model_params SET param_value = 'x' WHERE param_key = 'layer.9'", "params / layer.9"),
    ("UPDATE logged_model_metrics SET dataset_digest = 'x' WHERE dataset_name = 'holdout'", "'digest-holdout'"),
    ("UPDATE registered_model_aliases SET version = 12 WHERE alias = 'champion'", "aliases / champion: expected 11"),
    ("UPDATE registered_models SET description = 'x' WHERE name = 'churn.prod v1'", "description: expected"),
    ("UPDATE model_version_tags SET value = 'x' WHERE key = 'only 9'", "versions / 9 / tags / only 9: expected 'yes'"),
    ("UPDATE model_versions SET version = 13 WHERE version = 12", "versions / 12: missing"),
    ("UPDATE model_versions SET current_stage = 'None' WHERE version = 10", "versions / 10 / stage"),
    ("UPDATE model_versions SET source = source || 'x' WHERE version = 7 AND name LIKE 'churn%'", "7 / source"),
    ("UPDATE model_versions SET run_id = 'x' WHERE version = 7 AND name LIKE 'churn%'", "versions / 7 / run: expected"),
]


@pytest.fixture(scope="module")
def original(source_server: MlflowServer, tenant: Tenant) -> Snapshot:
    """The tenant, read once."""
    return read(tenant.url)


@pytest.fixture(scope="module")
def plain(original: Snapshot) -> Snapshot:
    """The tenant without the files."""
    return replace(original, files={})


@pytest.fixture(scope="module")
def copy(servers: Servers, source_server: MlflowServer, tenant: Tenant) -> MlflowServer:
    """A server with a copy of the tenant, ids included, that the tests change and change back."""
    return servers.copy(source_server)


def test_a_copy_is_equal(original: Snapshot, copy: MlflowServer) -> None:
    assert compare(original, copy.url, match=BY_ID, include_deleted=True) == []


def test_deleted_objects_are_extra_unless_included_or_needed_by_a_version(original: Snapshot, tenant: Tenant) -> None:
    found = "\n".join(compare(original, original, match=BY_ID))
    for label in tenant.deleted_runs - {"registered, then deleted"}:
        assert f"run {tenant.runs[label]}: extra" in found
    assert tenant.runs["registered, then deleted"] not in found
    assert "experiment 'was given up': extra" in found
    assert f"logged model {tenant.logged_models['deleted']}: extra" in found


def test_objects_without_a_marker_are_missing_and_extra(original: Snapshot, tenant: Tenant) -> None:
    found = compare(original, original)
    assert f"run {tenant.runs['values']}: missing at the destination" in found
    assert f"run {tenant.runs['values']}: extra, came from nowhere" in found
    assert f"logged model {tenant.logged_models['first']}: missing at the destination" in found


def test_an_experiment_may_have_another_name(plain: Snapshot, copy: MlflowServer) -> None:
    with _changed(copy, "UPDATE experiments SET name = 'renamed' WHERE name = 'evaluation'"):
        changed = read(copy.url, artifacts=False)
        rename = {"evaluation": "renamed"}
        assert compare(plain, changed, match=BY_ID, include_deleted=True, rename=rename) == []
        assert compare(plain, changed, match=BY_ID, include_deleted=True) != []


def test_every_changed_value_is_found(plain: Snapshot, copy: MlflowServer) -> None:
    with _changed(copy, *(statement for statement, _ in CHANGES)):
        found = compare(plain, read(copy.url, artifacts=False), match=BY_ID, include_deleted=True)
    unseen = [expected for _, expected in CHANGES if not any(expected in line for line in found)]
    assert not unseen, found


@pytest.mark.parametrize(
    ("label", "path", "spoil", "expected"),
    [
        ("artifacts", "odd/what?.txt", lambda old: old + b"!", "artifacts / odd/what?.txt: expected '24 bytes"),
        ("many files", "parts/part-217.json", lambda old: None, "artifacts / parts/part-217.json: missing"),
        ("model of mlflow 2", "model/MLmodel", lambda old: old.replace(b"run_id: ", b"run_id: 0"), "MLmodel / run_id"),
    ],
)
def test_a_changed_file_is_found(
    copy: MlflowServer,
    original: Snapshot,
    tenant: Tenant,
    label: str,
    path: str,
    spoil: Callable[[bytes], bytes | None],
    expected: str,
) -> None:
    file: Path = copy.artifacts / tenant.experiments["plain"] / tenant.runs[label] / "artifacts" / path
    content = file.read_bytes()
    changed = spoil(content)
    try:
        file.unlink() if changed is None else file.write_bytes(changed)
        found = compare(original, copy.url, match=BY_ID, include_deleted=True)
    finally:
        file.write_bytes(content)
    assert len(found) == 1
    assert expected in found[0]


def test_a_perfect_migration_is_equal(original: Snapshot, migrated: MlflowServer) -> None:
    assert compare(original, migrated.url, include_deleted=True) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "UPDATE tags SET value = '{parent}' WHERE key = 'mlflow.parentRunId' AND run_uuid = '{child}'",
            "parent: expected",
        ),
        ("UPDATE tags SET value = '{parent}' WHERE key = 'bulkexim.source.run_id' AND run_uuid = '{child}'", "doubled"),
        ("DELETE FROM tags WHERE key = 'bulkexim.source.parent_run_id'", "lost parent: expected '0123456789abcdef"),
        (
            "UPDATE model_versions SET source = 'runs:/{parent}/model', run_id = '{parent}' WHERE version = 4",
            "4 / source",
        ),
        ("UPDATE logged_models SET source_run_id = '{parent}' WHERE source_run_id IS NOT NULL", "run: expected"),
        ("UPDATE inputs SET destination_id = '{model}' WHERE step = 7", "model outputs"),
    ],
)
def test_an_id_of_the_source_or_a_wrong_one_is_found(
    plain: Snapshot, migrated: MlflowServer, tenant: Tenant, change: str, expected: str
) -> None:
    ids = {
        "parent": tenant.runs["parent"],
        "child": _renamed(tenant.runs["child"]),
        "model": _renamed(tenant.logged_models["first"]),
    }
    with _changed(migrated, change.format(**ids)):
        found = compare(plain, read(migrated.url, artifacts=False), include_deleted=True)
    assert any(expected in line for line in found), found


@pytest.fixture(scope="module")
def migrated(servers: Servers, source_server: MlflowServer, tenant: Tenant) -> MlflowServer:
    """What a perfect migration would leave: a copy where every run and logged model has another id and a marker."""
    server = servers.copy(source_server)
    server.stop()
    ids = {old: _renamed(old) for old in (*tenant.runs.values(), *tenant.logged_models.values())}
    with contextlib.closing(sqlite3.connect(server.database)) as store:
        dump = _translated("\n".join(store.iterdump()), ids)
    server.database.unlink()
    lost = f"SELECT 'bulkexim.source.parent_run_id', value, run_uuid FROM tags WHERE value = '{NO_RUN}'"
    with contextlib.closing(sqlite3.connect(server.database)) as store:
        store.executescript(dump)
        store.execute(f"INSERT INTO tags (key, value, run_uuid) {lost}")
        store.execute("DELETE FROM tags WHERE key = 'mlflow.parentRunId' AND value = ?", (NO_RUN,))
        markers = [("bulkexim.source.run_id", old, ids[old]) for old in tenant.runs.values()]
        store.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", markers)
        for old in tenant.logged_models.values():
            store.execute(
                "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)"
                " SELECT model_id, experiment_id, 'bulkexim.source.model_id', ? FROM logged_models WHERE model_id = ?",
                (old, ids[old]),
            )
        store.commit()
    for path in sorted(server.artifacts.rglob("*"), key=lambda path: -len(path.parts)):
        if path.name == "MLmodel":
            path.write_text(_translated(path.read_text(), ids))
        elif path.name in ids:
            path.rename(path.with_name(ids[path.name]))
    return servers.restart(server)


def _renamed(old: str) -> str:
    return f"m-{old[:1:-1]}" if old.startswith("m-") else old[::-1]


def _translated(text: str, ids: dict[str, str]) -> str:
    return re.sub(r"(m-)?[0-9a-f]{32}", lambda found: ids.get(found[0], found[0]), text)


@contextlib.contextmanager
def _changed(server: MlflowServer, *statements: str) -> Iterator[None]:
    """Changes rows of a store for a moment; the whole store is put back afterwards."""
    with (
        contextlib.closing(sqlite3.connect(server.database)) as store,
        contextlib.closing(sqlite3.connect(":memory:")) as kept,
    ):
        store.backup(kept)
        for statement in statements:
            assert store.execute(statement).rowcount > 0, statement
        store.commit()
        try:
            yield
        finally:
            kept.backup(store)
