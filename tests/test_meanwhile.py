"""The source goes on while it is moved: what changed is named at the end, and the next run carries it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bulkexim.engine.events import Event, Finished, PhaseStarted
from tests.support.migrating import migrated
from tests.support.oracle import compare
from tests.support.servers import Servers
from tests.support.tenant.builder import Builder
from tests.support.tenant.small import build_small


@pytest.fixture
def build(servers: Servers, tmp_path: Path) -> Builder:
    """The builder of a small tenant of the test's own."""
    (tmp_path / "scratch").mkdir()
    build = Builder(servers.start().url, tmp_path / "scratch")
    build_small(build)
    build.delete()
    return build


def _once(when: Callable[[Event], bool], act: Callable[[], None]) -> Callable[[Event], None]:
    """A listener that acts at the first event of a sort: in the middle of the migration."""
    waiting = [act]

    def listen(event: Event) -> None:
        if waiting and when(event):
            waiting.pop()()

    return listen


def test_what_changed_is_named_and_comes_with_the_next_run(build: Builder, servers: Servers, tmp_path: Path) -> None:
    def change() -> None:
        build.experiment("late", "late experiment")
        build.run("late", "late")
        build.run("busy", status="RUNNING")
        build.client.set_tag(build.runs["other"], "colour", "green")
        build.client.set_registered_model_alias("small model", "late", "1")
        build.client.create_model_version("small model", "s3://bucket/4")

    at_the_versions = _once(lambda event: isinstance(event, PhaseStarted) and event.kind == "model_version", change)
    destination = servers.start()
    report = migrated(build.url, destination, tmp_path / "work", at_the_versions)
    assert report.exit_code == 0
    named = {f"{one.kind} {one.name}: {one.how}" for kind in report.changed for one in kind.examples}
    assert named >= {
        "experiment late experiment: new",
        "run late: new",
        "run busy: new",
        "run other: changed",
    }
    assert compare(build.url, destination.url) != []
    again = migrated(build.url, destination, tmp_path / "work")
    assert again.exit_code == 0
    assert {f"{one.name}: {one.how}" for kind in again.changed for one in kind.examples} == {
        "busy: still being written"
    }
    assert compare(build.url, destination.url) == []


def test_a_run_that_is_deleted_meanwhile_stops_nothing(build: Builder, servers: Servers, tmp_path: Path) -> None:
    at_the_runs = _once(
        lambda event: isinstance(event, PhaseStarted) and event.kind == "run",
        lambda: build.client.delete_run(build.runs["other"]),
    )
    report = migrated(build.url, servers.start(), tmp_path / "work", at_the_runs)
    assert (report.failed, report.exit_code) == (0, 0)


def test_nothing_is_named_where_nothing_changed(build: Builder, servers: Servers, tmp_path: Path) -> None:
    seen: list[Event] = []
    destination = servers.start()
    assert migrated(build.url, destination, tmp_path / "work", seen.append).changed == ()
    assert any(isinstance(event, Finished) for event in seen)
    assert migrated(build.url, destination, tmp_path / "work").changed == ()
