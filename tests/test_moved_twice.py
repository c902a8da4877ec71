"""A tenant that was moved before: what the earlier migration kept in tags is content, and nothing of it is lost."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from bulkexim.config import Level
from bulkexim.ids import MARKER_TAG, PREFIX
from tests.support.migrating import changes, migrated, moved
from tests.support.oracle import BY_ID, Snapshot, compare, read
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant.builder import START, Builder
from tests.support.tenant.small import build_small
from tests.support.verifying import told, verified

LONG = "".join(f"line {number}\n" for number in range(2000))
KEY = "k" * 250


class Hops:
    """A tenant on the first server, moved to the second, from there to the third, and on to the fourth."""

    def __init__(self, servers: Servers, folder: Path) -> None:
        self.folder = folder
        self.servers = [servers.start() for _ in range(4)]
        scratch = folder / "scratch"
        scratch.mkdir()
        self.build = Builder(self.servers[0].url, scratch)
        build_small(self.build)
        # Only the create call takes such long tags, and only a later migration the params.
        tags = [{"key": key, "value": LONG} for key in ("long", KEY)]
        body = {"experiment_id": self.build.experiments["plain"], "start_time": START, "run_name": "long", "tags": tags}
        run_id = self.build.rest("POST", "2.0/mlflow/runs/create", body)["run"]["info"]["run_id"]
        self.build.keep("long", run_id, "plain")
        self.build.client.set_terminated(run_id, end_time=START + 1)
        for hop in range(3):
            self.hop(hop)

    def hop(self, number: int, *, recheck: bool = False) -> int:
        """Move from one server to the next; return how many objects it took."""
        source, destination = self.servers[number : number + 2]
        report = migrated(source, destination, self.folder / f"work {number}", recheck=recheck)
        assert (report.failures, report.exit_code) == ((), 0)
        return moved(report)


@pytest.fixture(scope="module")
def hops(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Hops:
    """Read its servers, write to none."""
    return Hops(servers, tmp_path_factory.mktemp("hops"))


def _objects(server: MlflowServer) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Yield every object that has tags, by a name that all servers share, with its tags."""
    found = read(server.url)
    yield from ((f"experiment {one.name}", one.tags) for one in found.experiments.values() if one.name != "Default")
    yield from ((f"run {one.info.run_name}", one.data.tags) for one in found.runs.values())
    yield from ((f"logged model {one.name}", one.tags) for one in found.logged_models.values())
    yield from ((f"model {one.name}", one.tags) for one in found.registered_models.values())
    yield from ((f"version {one.name} {one.version}", one.tags) for one in found.versions.values())


def test_every_tag_of_an_earlier_migration_is_there(hops: Hops) -> None:
    second, third = (dict(_objects(server)) for server in hops.servers[1:3])
    assert second.keys() == third.keys()
    for name, tags in second.items():
        written = {key: value for key, value in tags.items() if key.startswith(PREFIX)}
        assert MARKER_TAG in written
        found = third[name]
        for key, value in written.items():
            carried = f"{PREFIX}origin.1.{key.removeprefix(PREFIX)}"
            where = [one for one in found if one == carried or (one[:200] == carried[:200] and len(carried) > 250)]
            assert [found[one] for one in where] == [value], f"{name}: {key}"
        # What the second migration wrote about the object is its own.
        assert found[MARKER_TAG] != tags[MARKER_TAG]


def test_values_that_were_kept_whole_stay_whole(hops: Hops) -> None:
    tags = dict(_objects(hops.servers[3]))["run long"]
    pieces = [tags[f"{PREFIX}origin.1.long.tag.{number}.long"] for number in range(-(-len(LONG) // 8000))]
    assert "".join(pieces) == LONG


def test_the_origin_of_each_move_can_be_read(hops: Hops) -> None:
    """The number stands for the server, whichever way the object has gone since: 1 is the first one."""
    ids = [_run_ids(read(server.url)) for server in hops.servers]
    tags = {name: tags for name, tags in _objects(hops.servers[3]) if name.startswith("run ")}
    for name, run_id in ids[0].items():
        assert tags[f"run {name}"][f"{PREFIX}origin.1.source.run_id"] == run_id
        assert tags[f"run {name}"][f"{PREFIX}origin.2.source.run_id"] == ids[1][name]
        assert tags[f"run {name}"][f"{PREFIX}source.run_id"] == ids[2][name]


def _run_ids(found: Snapshot) -> dict[str, str]:
    return {run.info.run_name: run_id for run_id, run in found.runs.items() if run.info.lifecycle_stage == "active"}


@pytest.mark.parametrize("number", [1, 2])
def test_a_second_run_writes_nothing_and_both_ends_are_equal(hops: Hops, number: int) -> None:
    before = read(hops.servers[number + 1].url)
    assert hops.hop(number) == 0
    assert changes(before, read(hops.servers[number + 1].url)) == []
    assert told(verified(hops.servers[number], hops.servers[number + 1], Level.FULL)) == []


def test_writing_everything_again_loses_no_tag(hops: Hops) -> None:
    before = read(hops.servers[2].url)
    hops.hop(1, recheck=True)
    assert compare(before, read(hops.servers[2].url), match=BY_ID) == []


def test_a_lost_ledger_is_filled_from_the_markers_of_the_last_move(hops: Hops, tmp_path: Path) -> None:
    before = read(hops.servers[3].url)
    report = migrated(hops.servers[2], hops.servers[3], tmp_path)
    assert report.exit_code == 0
    after = read(hops.servers[3].url)
    assert after.runs.keys() == before.runs.keys()
    assert after.versions.keys() == before.versions.keys()
    assert dict(_objects(hops.servers[3])).keys() == {name for name, _ in _objects(hops.servers[2])}
