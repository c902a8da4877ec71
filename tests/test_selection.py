"""What is selected arrives, and nothing else; new names reach everything that mentions the old ones."""

from pathlib import Path
from typing import Any

import pytest

from bulkexim.errors import UsageError
from tests.conftest import StartServer
from tests.support.migrating import migrated, moved, planned
from tests.support.oracle import Snapshot, compare, read
from tests.support.servers import Servers
from tests.support.tenant.builder import START, Builder

NIGHT = {"churn/a": 2, "churn/b": 1, "sales [eu]": 1}
"""Experiments by name, with the number of their runs."""


@pytest.fixture(scope="module")
def source(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    """Three experiments with runs an hour apart, and a model of each; nobody changes it."""
    build = Builder(servers.start().url, tmp_path_factory.mktemp("scratch"))
    for at, (name, runs) in enumerate(NIGHT.items()):
        build.experiment(name, name)
        for number in range(runs):
            label = f"{name} {number}"
            run_id = build.run(label, name, start=START + 3_600_000 * (at + number))
            build.put(label, "model/weights.bin", label.encode())
        model = name.replace("/", "-")
        build.client.create_registered_model(model)
        build.client.create_model_version(model, f"runs:/{run_id}/model", run_id)
        build.client.copy_model_version(f"models:/{model}/1", f"{model} promoted")
    gone = build.run("deleted", "churn/a")
    build.experiment("empty", "empty")
    build.client.delete_run(gone)
    build.client.delete_experiment(build.experiments["empty"])
    return build


def _names(server: Snapshot) -> set[str]:
    return {experiment.name for experiment in server.experiments.values()} - {"Default"}


def _runs(server: Snapshot) -> set[str]:
    return {run.info.run_name for run in server.runs.values()}


def _models(server: Snapshot) -> set[str]:
    return set(server.registered_models)


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (("churn/a",), {"churn/a"}),
        (("churn/*",), {"churn/a", "churn/b"}),
        (("sales [eu]",), {"sales [eu]"}),
        (("churn/b", "sales*", "nothing like that*"), {"churn/b", "sales [eu]"}),
    ],
)
def test_experiments_are_chosen_by_name_and_by_glob(
    source: Builder, fresh_server: StartServer, tmp_path: Path, patterns: tuple[str, ...], expected: set[str]
) -> None:
    destination = fresh_server()
    assert migrated(source.url, destination, tmp_path, experiments=patterns).exit_code == 0
    after = read(destination.url)
    assert _names(after) == expected
    assert len(after.runs) == sum(NIGHT[name] for name in expected)
    assert _models(after) == set()


def test_an_experiment_is_chosen_by_its_id(source: Builder, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    assert migrated(source.url, destination, tmp_path, experiments=(source.experiments["churn/b"],)).exit_code == 0
    assert _names(read(destination.url)) == {"churn/b"}


@pytest.mark.parametrize("flag", ["experiments", "models"])
def test_a_name_that_does_not_exist_is_told_before_anything_is_written(
    source: Builder, fresh_server: StartServer, tmp_path: Path, flag: str
) -> None:
    destination = fresh_server()
    with pytest.raises(UsageError, match=f"--{flag}: the source has no 'misspelt'"):
        migrated(source.url, destination, tmp_path, **{flag: ("churn*", "misspelt")})
    after = read(destination.url)
    assert (_names(after), _models(after)) == (set(), set())


def test_a_model_brings_the_runs_of_its_versions_and_nothing_else(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    report = migrated(source.url, destination, tmp_path, models=("churn-a",))
    assert report.failures == ()
    after = read(destination.url)
    assert (_models(after), _names(after), _runs(after)) == ({"churn-a"}, {"churn/a"}, {"churn/a 1"})
    (run,) = after.runs.values()
    assert after.versions["churn-a", 1].run_id == run.info.run_id
    assert list(after.files[run.info.artifact_uri]) == ["model/weights.bin"]


def test_a_run_that_came_for_a_version_is_looked_at_again_by_later_runs(
    servers: Servers, fresh_server: StartServer, tmp_path: Path
) -> None:
    build = Builder(servers.start().url, tmp_path)
    build.experiment("home", "home")
    run_id = build.run("of the version", "home")
    build.put("of the version", "model/weights.bin", b"weights")
    build.client.create_registered_model("net")
    build.client.create_model_version("net", f"runs:/{run_id}/model", run_id)
    destination, work_dir = fresh_server(), tmp_path / "work"
    assert migrated(build.url, destination, work_dir, models=("net",)).exit_code == 0
    build.client.set_tag(run_id, "colour", "red")
    assert migrated(build.url, destination, work_dir, models=("net",)).exit_code == 0
    (run,) = read(destination.url).runs.values()
    assert run.data.tags["colour"] == "red"
    assert moved(migrated(build.url, destination, work_dir, models=("net",))) == 0


def test_a_promoted_model_brings_the_files_it_was_promoted_from(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    report = migrated(source.url, destination, tmp_path, models=("churn-a promoted",))
    assert report.failures == ()
    after = read(destination.url)
    assert (_models(after), _runs(after)) == ({"churn-a promoted"}, {"churn/a 1"})
    (run,) = after.runs.values()
    assert after.locations["churn-a promoted", 1] == f"runs:/{run.info.run_id}/model"


def test_experiments_and_models_are_chosen_together(source: Builder, fresh_server: StartServer, tmp_path: Path) -> None:
    destination = fresh_server()
    assert migrated(source.url, destination, tmp_path, experiments=("churn/b",), models=("sales*",)).exit_code == 0
    after = read(destination.url)
    assert _runs(after) == {"churn/b 0", "sales [eu] 0"}
    assert _models(after) == {"sales [eu]", "sales [eu] promoted"}


@pytest.mark.parametrize(
    ("selection", "experiments", "models"),
    [
        ({"experiments": ("churn/b",), "models": "all"}, set(NIGHT), 2 * len(NIGHT)),
        ({"experiments": "all"}, set(NIGHT), 0),
        ({"models": "all"}, set(NIGHT), 2 * len(NIGHT)),
    ],
)
def test_all_of_a_kind_is_not_the_same_as_nothing_said_of_it(
    source: Builder,
    fresh_server: StartServer,
    tmp_path: Path,
    selection: dict[str, Any],
    experiments: set[str],
    models: int,
) -> None:
    destination = fresh_server()
    assert migrated(source.url, destination, tmp_path, **selection).exit_code == 0
    after = read(destination.url)
    assert (_names(after), len(_models(after))) == (experiments, models)
    # Of a run to which no version points, only its own experiment can bring it.
    assert ("churn/a 0" in _runs(after)) == (selection.get("experiments") == "all")


def test_an_experiment_called_all_is_chosen_by_a_glob_or_its_id(fresh_server: StartServer, tmp_path: Path) -> None:
    build = Builder(fresh_server().url, tmp_path)
    build.experiment("all", "all")
    build.experiment("other", "other")
    for number, pattern in enumerate(("[a]ll", build.experiments["all"])):
        destination = fresh_server()
        assert migrated(build.url, destination, tmp_path / str(number), experiments=(pattern,)).exit_code == 0
        assert _names(read(destination.url)) == {"all"}


def test_runs_are_chosen_by_their_start_with_the_end_left_out(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    window = {"run_start_time": START + 3_600_000, "runs_until": START + 7_200_000, "without": ("registered_model",)}
    assert migrated(source.url, destination, tmp_path, **window).exit_code == 0
    assert _runs(read(destination.url)) == {"churn/a 1", "churn/b 0"}
    window |= {"run_start_time": START + 3_600_001, "runs_until": START + 7_200_001}
    assert migrated(source.url, destination, tmp_path, **window).exit_code == 0
    assert _runs(read(destination.url)) == {"churn/a 1", "churn/b 0", "sales [eu] 0"}


def test_what_is_deleted_arrives_when_it_is_asked_for(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    migrated(source.url, destination, tmp_path)
    after = read(destination.url)
    assert "deleted" not in _runs(after)
    assert "empty" not in _names(after)
    migrated(source.url, destination, tmp_path, include_deleted=True)
    assert compare(source.url, destination.url, include_deleted=True) == []


def test_artifacts_that_were_left_out_arrive_when_they_are_asked_for(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    without = migrated(source.url, destination, tmp_path, artifacts=False)
    assert sum(kind.bytes for kind in without.kinds) == 0
    before = read(destination.url)
    assert not any(before.files.values())
    migrated(source.url, destination, tmp_path)
    after = read(destination.url)
    assert compare(source.url, after) == []
    assert after.runs.keys() == before.runs.keys()


def test_new_names_reach_experiments_models_and_promotions(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    renames = {
        "experiment_renames": {"churn/a": "leaving", "churn/*": "churn of 2024/*"},
        "model_renames": {"churn-a": "leaver", "sales*": "turnover*"},
    }
    assert migrated(source.url, destination, tmp_path, **renames).exit_code == 0
    after = read(destination.url)
    assert _names(after) == {"leaving", "churn of 2024/b", "sales [eu]"}
    assert _models(after) == {
        "leaver",
        "churn-a promoted",
        "churn-b",
        "churn-b promoted",
        "turnover [eu]",
        "turnover [eu] promoted",
    }
    assert after.versions["churn-a promoted", 1].source == "models:/leaver/1"
    assert after.versions["turnover [eu] promoted", 1].source == "models:/turnover [eu]/1"
    assert moved(migrated(source.url, destination, tmp_path, **renames)) == 0


def test_what_of_a_selection_fits_nothing_is_told_and_the_rest_moves(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    destination = fresh_server()
    selection = {
        "experiments": ("churn/b", "chrun*", "empt?"),
        "models": ("churn-b", "frod*"),
        "experiment_renames": {"churn/b": "new", "churn/B": "lost", "chrun*": "churn*"},
        "model_renames": {"churn-c": "c", "churn-*": "left-*"},
    }
    expected = {
        "--experiments: nothing at the source fits 'chrun*'.",
        "--experiments: what fits 'empt?' is deleted there and stays behind: --include-deleted moves it too.",
        "--models: nothing at the source fits 'frod*'.",
        "--experiment-rename-file: nothing that is moved is called 'churn/B', so no name is changed there.",
        "--experiment-rename-file: nothing that is moved is called 'chrun*', so no name is changed there.",
        "--model-rename-file: nothing that is moved is called 'churn-c', so no name is changed there.",
    }
    assert set(planned(source.url, destination, tmp_path, **selection).warnings) == expected
    report = migrated(source.url, destination, tmp_path, **selection)
    assert (set(report.warnings), report.exit_code) == (expected, 0)
    after = read(destination.url)
    assert (_names(after), _models(after)) == ({"new"}, {"left-b"})


def test_new_names_for_what_is_not_selected_at_all_are_told(
    source: Builder, fresh_server: StartServer, tmp_path: Path
) -> None:
    renames = {"experiment_renames": {"churn/a": "leaving"}, "model_renames": {"churn-a": "leaver"}}
    plan = planned(source.url, fresh_server(), tmp_path, experiments=("churn/b",), **renames)
    assert [warning.partition(":")[0] for warning in plan.warnings] == [
        "--experiment-rename-file",
        "--model-rename-file",
    ]
