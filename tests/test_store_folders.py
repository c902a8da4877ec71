"""A file store is read folder by folder: MLflow gets what it can show, and every other folder is named with why."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from bulkexim.artifacts.places import is_lost
from bulkexim.ends.files_replica import make
from bulkexim.ends.local_artifacts import LocalRoots
from bulkexim.ends.store_folders import StoreFolders, read_store
from bulkexim.ends.store_values import Tree
from bulkexim.left_behind import Cause
from tests.support.file_store import RUN_FOLDERS, HandMadeStore, changed, written
from tests.support.old_mlflow import build

ONE, TWO, OTHER = f"{1:032x}", f"{2:032x}", f"{3:032x}"
MODEL = f"m-{7:032x}"

Damage = Callable[[HandMadeStore], object]


@pytest.fixture
def store(tmp_path: Path) -> HandMadeStore:
    """Two runs and a logged model in experiment 5, another run in experiment 6, and a registered model."""
    made = HandMadeStore(tmp_path)
    made.experiment("5", "five")
    made.experiment("6", "six")
    first = made.run("5", 1)
    made.run("5", 2)
    made.run("6", 3)
    made.logged_model("5", 7, first)
    made.registered("net", 2, first)
    return made


def read(store: HandMadeStore) -> StoreFolders:
    return read_store(store.path, store.home)


def shown(tree: Tree, above: str = "") -> set[str]:
    """The folders of experiments, runs, models and versions that MLflow would find."""
    if isinstance(tree, bytes):
        return set()
    if isinstance(tree, Path):
        return {(above + str(one.parent.relative_to(tree))).removesuffix("/.") for one in tree.rglob("meta.yaml")}
    own = {above.removesuffix("/")} if "meta.yaml" in tree else set()
    return own.union(*(shown(inside, f"{above}{name}/") for name, inside in tree.items()))


def objects(tree: Tree) -> set[str]:
    return {one for one in shown(tree) if "outputs" not in one}


EVERYTHING = {
    "0",
    "5",
    "6",
    f"5/{ONE}",
    f"5/{TWO}",
    f"6/{OTHER}",
    f"5/models/{MODEL}",
    "models/net",
    "models/net/version-1",
    "models/net/version-2",
}


def test_a_store_in_order_is_shown_as_it_is(store: HandMadeStore) -> None:
    (store.path / ".DS_Store").write_text("of a desktop")
    (store.path / "notes.txt").write_text("of a user")
    for name in ("traces/tr-1", "datasets/1", "tags"):
        (store.path / "5" / name).mkdir(parents=True)
    found = read(store)
    assert found.unaccounted == []
    assert found.tree == {name: store.path / name for name in ("0", "5", "6", "models")}


def _emptied(*inside: str) -> Damage:
    return lambda store: store.path.joinpath(*inside, "meta.yaml").write_text("")


def _unsaid(*inside: str) -> Damage:
    return lambda store: store.path.joinpath(*inside, "meta.yaml").unlink()


def _torn(*inside: str) -> Damage:
    return lambda store: store.path.joinpath(*inside, "meta.yaml").write_bytes(b"name: 'to\xff")


def _moved_run(store: HandMadeStore) -> None:
    (store.path / "5" / TWO).rename(store.path / "6" / TWO)


def _copied_run(store: HandMadeStore) -> None:
    shutil.copytree(store.path / "5" / TWO, store.path / "5" / "copy-of-two")


def _dead_link(store: HandMadeStore) -> None:
    (store.path / "5" / "gone").symlink_to(store.home / "nowhere")


LOST_FIVE = {
    "5": "has an empty meta.yaml",
    f"5/{ONE}": "lies in the folder of an experiment that has an empty meta.yaml",
    f"5/{TWO}": "lies in the folder of an experiment that has an empty meta.yaml",
    f"5/models/{MODEL}": "lies in the folder of an experiment that has an empty meta.yaml",
}

#: What is done to the store, and which folders are named then, each with a part of the reason.
DAMAGES: dict[str, tuple[Damage, dict[str, str]]] = {
    "run without meta.yaml": (_unsaid("5", TWO), {f"5/{TWO}": "has no meta.yaml"}),
    "run with an empty one": (_emptied("5", TWO), {f"5/{TWO}": "has an empty meta.yaml"}),
    "run with a torn one": (_torn("5", TWO), {f"5/{TWO}": "has a meta.yaml that is no YAML"}),
    "empty folder": (lambda store: (store.path / "5" / "empty").mkdir(), {"5/empty": "has no meta.yaml"}),
    "run that was moved": (
        _moved_run,
        {f"6/{TWO}": "says that it belongs to experiment 5, and lies in the folder of experiment 6"},
    ),
    "run that was copied": (_copied_run, {"5/copy-of-two": f"says that it is run {TWO}"}),
    "run without a field": (
        lambda store: changed(store.path / "5" / TWO, start_time=None),
        {f"5/{TWO}": "that MLflow cannot use (without start_time)"},
    ),
    "run of a status that is none": (
        lambda store: changed(store.path / "5" / TWO, status=9),
        {f"5/{TWO}": "that MLflow cannot use (status: "},
    ),
    "link to a run that is gone": (_dead_link, {"5/gone": "is a link that leads nowhere"}),
    "experiment with an empty meta.yaml": (_emptied("5"), LOST_FIVE),
    "experiment without one": (
        _unsaid("5"),
        {where: why.replace("has an empty", "has no") for where, why in LOST_FIVE.items()},
    ),
    "experiment of another id": (
        lambda store: changed(store.path / "6", experiment_id="5"),
        {"6": "says that it is experiment 5", f"6/{OTHER}": "lies in the folder of an experiment that says"},
    ),
    "experiment without a name": (
        lambda store: changed(store.path / "6", name=2024),
        {"6": "that MLflow cannot use (name: expected a text", f"6/{OTHER}": "that MLflow cannot use"},
    ),
    "folder that cannot be an experiment": (
        lambda store: (store.path / "my notes").mkdir(),
        {"my notes": "has no meta.yaml"},
    ),
    "experiment in a folder of another name": (
        lambda store: written(store.path / "a b", {"experiment_id": "a b", "name": "x", "artifact_location": "x"}),
        {"a b": "MLflow cannot use"},
    ),
    "logged model without meta.yaml": (
        _unsaid("5", "models", MODEL),
        {f"5/models/{MODEL}": "has no meta.yaml"},
    ),
    "logged model of another experiment": (
        lambda store: changed(store.path / "5" / "models" / MODEL, experiment_id="6"),
        {f"5/models/{MODEL}": "says that it belongs to experiment 6"},
    ),
    "registered model with an empty meta.yaml": (
        _emptied("models", "net"),
        {
            "models/net": "has an empty meta.yaml",
            "models/net/version-1": "lies in the folder of a registered model that",
            "models/net/version-2": "lies in the folder of a registered model that",
        },
    ),
    "registered model of another name": (
        lambda store: changed(store.path / "models" / "net", name="nets"),
        {
            "models/net": "says that it is the registered model 'nets'",
            "models/net/version-1": "lies in the folder",
            "models/net/version-2": "lies in the folder",
        },
    ),
    "version without meta.yaml": (_unsaid("models", "net", "version-2"), {"models/net/version-2": "has no meta.yaml"}),
    "version of another number": (
        lambda store: changed(store.path / "models" / "net" / "version-2", version=3),
        {"models/net/version-2": "says that it is version 3"},
    ),
    "version of an unknown status": (
        lambda store: changed(store.path / "models" / "net" / "version-2", status="BOGUS"),
        {"models/net/version-2": "has a meta.yaml that MLflow cannot use (status"},
    ),
    "version of a number that is none": (
        lambda store: written(
            store.path / "models" / "net" / "version-0", {"name": "net", "version": 0, "creation_timestamp": 1}
        ),
        {"models/net/version-0": "has a number that MLflow gives to no version"},
    ),
}


#: Folders whose files hold one value each; a name with slashes is a file in folders.
OF_VALUES = (
    *(f"5/{ONE}/{kind}" for kind in ("metrics", "params", "tags")),
    *(f"5/models/{MODEL}/{kind}" for kind in ("metrics", "params", "tags")),
    "5/tags",
    "models/net/tags",
    "models/net/version-1/tags",
)


def _found(folder: Path) -> set[str]:
    """The names of values as MLflow finds them: it enters no link to a folder."""
    return {str(Path(above, file).relative_to(folder)) for above, _, files in os.walk(folder) for file in files}


@pytest.mark.parametrize("where", OF_VALUES)
@pytest.mark.parametrize("among", ["", "val/", "val/deep/", "other/"])
def test_values_in_folders_are_found_where_something_beside_them_is_left_out(
    store: HandMadeStore, tmp_path: Path, where: str, among: str
) -> None:
    folder = store.path / where
    for value in ("top", "val/acc", "val/deep/er", "other/acc", f"{among}.DS_Store"):
        (folder / value).parent.mkdir(parents=True, exist_ok=True)
        (folder / value).write_text(f"1000 0.5 0 {ONE}" if "models/m-" in where else "1000 0.5 0")
    found = read(store)
    make(tmp_path / "replica", found.tree)
    assert found.unaccounted == []
    assert _found(tmp_path / "replica" / where) == _found(folder) - {f"{among}.DS_Store"}


def test_an_object_without_a_root_has_the_files_beside_it(store: HandMadeStore) -> None:
    run, model = store.path / "5" / ONE, store.path / "5" / "models" / MODEL
    changed(run, artifact_uri="")
    changed(model, artifact_location="")
    (model / "artifacts").mkdir(exist_ok=True)
    (model / "artifacts" / "weights.bin").write_bytes(b"weights")
    roots = read(store).roots
    found = LocalRoots(store.home, roots.beside)
    assert found.folder("", "run", ONE) == run / "artifacts"
    assert found.folder("", "logged_model", MODEL) == model / "artifacts"
    assert roots.doubtful == frozenset()


def test_a_service_is_asked_for_only_where_it_has_the_files_of_all(store: HandMadeStore) -> None:
    runs = [store.path / "5" / ONE, store.path / "5" / TWO, store.path / "6" / OTHER, store.path / "5/models" / MODEL]
    for folder in runs[:-1]:
        changed(folder, artifact_uri=f"mlflow-artifacts:/{folder.name}/artifacts")
    assert read(store).roots.doubtful == frozenset()
    changed(runs[-1], artifact_location="mlflow-artifacts:/model/artifacts")
    assert len(read(store).roots.doubtful) == len(runs)


@pytest.mark.parametrize("what", DAMAGES)
def test_a_folder_that_mlflow_cannot_show_is_named_and_costs_no_other(store: HandMadeStore, what: str) -> None:
    damage, named = DAMAGES[what]
    damage(store)
    found = read(store)
    assert {one.where: one.why for one in found.unaccounted}.keys() == named.keys()
    for one in found.unaccounted:
        assert named[one.where] in one.why
        assert one.cause is Cause.FOLDER
    moved = {f"5/{TWO}"} if what == "run that was moved" else set()
    assert objects(found.tree) == EVERYTHING - named.keys() - moved


def test_what_is_named_tells_to_what_it_would_belong(store: HandMadeStore) -> None:
    _emptied("5", TWO)(store)
    _unsaid("6")(store)
    _unsaid("models", "net", "version-2")(store)
    told = {one.where: one[:2] + one[4:7] for one in read(store).unaccounted}
    assert told == {
        f"5/{TWO}": ("run", TWO, "5", "five", False),
        "6": ("experiment", "6", "6", "", False),
        f"6/{OTHER}": ("run", OTHER, "6", "", False),
        "models/net/version-2": ("model_version", "net/2", "", "net", False),
    }


def test_what_lies_in_the_trash_is_named_as_deleted(store: HandMadeStore) -> None:
    folder = store.trashed("5")
    (folder / TWO / "meta.yaml").unlink()
    written(store.path / ".trash" / "8", {})
    found = read(store)
    assert {(one.where, one.deleted) for one in found.unaccounted} == {(f".trash/5/{TWO}", True), (".trash/8", True)}
    assert objects(found.tree) == {f".trash/{one}" if one.startswith("5") else one for one in EVERYTHING} - {
        f".trash/5/{TWO}"
    }


@pytest.mark.parametrize("missing", RUN_FOLDERS)
def test_a_run_that_lacks_a_folder_gets_an_empty_one(store: HandMadeStore, missing: str) -> None:
    shutil.rmtree(store.path / "5" / TWO / missing)
    found = read(store)
    assert found.unaccounted == []
    if missing != "tags":  # MLflow does without.
        run = found.tree["5"][TWO]  # type: ignore[index,call-overload]
        assert run[missing] == {}  # type: ignore[index,call-overload]


#: A file in the folder of a run, what it holds, what is said of it, and what of it can still be used.
VALUES: dict[str, tuple[str, bytes, str, Tree | None]] = {
    "no text": ("params/lr", b"\xff\xfe", "is no text in UTF-8", None),
    "a name that MLflow does not take": ("params/lr (copy)", b"1", "has a name that MLflow does not take", None),
    "an empty metric": ("metrics/loss", b"", "is empty", None),
    "a torn point": ("metrics/loss", b"1 0.5 0\n2 0.25 1\n30", "has 1 of 3 lines", b"1 0.5 0\n2 0.25 1\n"),
    "a point that is no text": (
        "metrics/loss",
        b"1 0.5 0\n2 0.25 1 \xff 1a2b\n",
        "has 1 of 2 lines that are no points, such as '2 0.25 1 ",
        b"1 0.5 0\n",
    ),
    "zeros after a power failure": ("metrics/loss", b"\0" * 64, "has 1 of 1 lines", None),
    "points as MLflow 0.8 wrote them": ("metrics/loss", b"1 0.5\n", "", b""),
    "points of a dataset": ("metrics/loss", b"1 0.5 0 data 1a2b\n", "", b""),
    "a point of every kind": ("metrics/loss", b"1 inf 0\n2 -inf 1\n3 nan 2\n4 -1e-07 -3\n5 7 4\n", "", b""),
    "a file of a desktop": ("params/.DS_Store", b"\xff\0", "", None),
}


@pytest.mark.parametrize("what", VALUES)
def test_a_value_that_mlflow_cannot_read_is_left_out_and_named(store: HandMadeStore, what: str) -> None:
    path, content, problem, usable = VALUES[what]
    (store.path / "5" / TWO / path).write_bytes(content)
    found = read(store)
    told = [(one.kind, one.id, one.cause, one.why) for one in found.unaccounted]
    if problem:
        ((kind, run_id, cause, why),) = told
        assert (kind, run_id, cause) == ("run", TWO, Cause.VALUE)
        assert why.startswith(f"{path} {problem}")
    else:
        assert told == []
    if usable == b"":
        assert found.tree["5"] == store.path / "5"
    else:
        folder, name = path.split("/")
        values = found.tree["5"][TWO][folder]  # type: ignore[index,call-overload]
        assert values.get(name) == usable  # type: ignore[union-attr]


def test_a_pipe_is_not_waited_for(store: HandMadeStore) -> None:
    (store.path / "5" / TWO / "meta.yaml").unlink()
    os.mkfifo(store.path / "5" / TWO / "meta.yaml")
    os.mkfifo(store.path / "5" / ONE / "params" / "pipe")
    assert {one.where: one.why for one in read(store).unaccounted} == {
        f"5/{ONE}": "params/pipe is no file",
        f"5/{TWO}": "has a meta.yaml that is no file",
    }


def test_links_that_go_round_are_named_once(store: HandMadeStore) -> None:
    (store.path / "5" / ONE / "params" / "round").symlink_to(store.path / "5" / ONE / "params")
    (store.path / "5" / "round").symlink_to(store.path / "5")
    assert {one.where: one.why for one in read(store).unaccounted} == {
        f"5/{ONE}": "params/round is no file",
        "5/round": "has a meta.yaml that MLflow cannot use (without run_id)",
    }


def test_a_name_that_is_no_text_can_be_told(store: HandMadeStore) -> None:
    Path(os.fsdecode(os.fsencode(store.path) + b"/caf\xe9")).mkdir()
    (found,) = read(store).unaccounted
    assert found.where.encode() == b"caf\\udce9"


@pytest.mark.parametrize(
    ("location", "is_beside"),
    [
        ("file:///old/mlruns/5/{run}/artifacts", True),
        ("file:///C:/Users/ann/mlruns/5/{run}/artifacts", True),
        (r"C:\Users\ann\mlruns\5\{run}\artifacts", True),
        ("./old/mlruns/5/{run}/artifacts", True),
        ("./mlruns/5/{run}/artifacts", False),
        ("s3://bucket/5/{run}/artifacts", False),
        ("mlflow-artifacts:/5/{run}/artifacts", False),
    ],
)
def test_files_that_are_not_where_the_store_says_are_found_beside(
    store: HandMadeStore, location: str, *, is_beside: bool
) -> None:
    run = store.path / "5" / TWO
    changed(run, artifact_uri=location.format(run=TWO))
    roots = read(store).roots
    assert roots.beside == ({("run", TWO): run / "artifacts"} if is_beside else {})
    assert roots.by_right == 0


def test_files_of_what_lies_in_the_trash_are_found_there(store: HandMadeStore) -> None:
    trash = store.trashed("5")
    roots = read(store).roots
    models = trash / "models" / MODEL
    assert roots.beside == {
        ("run", ONE): trash / ONE / "artifacts",
        ("run", TWO): trash / TWO / "artifacts",
        ("logged_model", MODEL): models / "artifacts",
    }
    assert (roots.by_right, roots.example, roots.doubtful) == (3, "", frozenset())


def test_roots_that_are_nowhere_are_doubted_unless_others_prove_where_the_store_was(store: HandMadeStore) -> None:
    for run in (ONE, TWO):
        changed(store.path / "5" / run, artifact_uri=f"file:///old/mlruns/5/{run}/artifacts")
    shutil.rmtree(store.path / "5" / ONE / "artifacts")
    changed(store.path / "6" / OTHER, artifact_uri=f"file:///nowhere/share/6/{OTHER}/artifacts")
    (store.path / "6" / OTHER / "artifacts" / "weights.txt").unlink()
    roots = read(store).roots
    assert roots.doubtful == {"/nowhere/share/6"}
    found = LocalRoots(store.home, roots.beside, frozenset(roots.places))
    assert not found.is_lost(f"file:///old/mlruns/5/{ONE}/artifacts")
    assert found.is_lost(f"file:///nowhere/share/6/{OTHER}/artifacts")
    assert not found.is_lost(f"{store.path}/6/never/artifacts")
    assert not found.is_lost(f"{store.home}/made-with-the-first-artifact/6/never/artifacts")


@pytest.mark.parametrize(
    ("address", "location", "lost"),
    [
        ("http://127.0.0.1:5000", "/gone/place/mlruns/5/run/artifacts", True),
        ("http://localhost:5000", "file:///gone/place/mlruns/5/models/m-1/artifacts", True),
        ("http://127.0.0.1:5000", "/etc/mlruns/5/run/artifacts", False),
        ("http://127.0.0.1:5000", "mlruns/5/run/artifacts", False),
        ("http://127.0.0.1:5000", "s3://bucket/5/run/artifacts", False),
        ("http://mlflow.example.org", "/gone/place/mlruns/5/run/artifacts", False),
    ],
)
def test_a_root_at_a_server_is_missed_only_where_this_machine_could_see_it(
    address: str, location: str, *, lost: bool
) -> None:
    http = SimpleNamespace(base_url=httpx.URL(address))
    server: Any = SimpleNamespace(local=None, client=SimpleNamespace(http=http))
    assert is_lost(server, location) is lost


def test_a_link_whose_dataset_is_gone_is_named(store: HandMadeStore) -> None:
    link = {"source_type": "DATASET", "source_id": "data", "destination_type": "RUN", "destination_id": "x", "tags": {}}
    written(store.path / "5" / ONE / "inputs" / "one", link)
    written(store.path / "5" / TWO / "inputs" / "two", {})
    changed(store.path / "5" / ONE / "outputs" / MODEL, destination_type="MODEL")
    found, output, other = read(store).unaccounted
    assert (output.id, output.why) == (ONE, f"outputs/{MODEL} is no link of a run")
    assert (found.id, found.why) == (ONE, "inputs/one names dataset data, whose folder is none (has no meta.yaml)")
    assert (other.id, other.why) == (TWO, "inputs/two is no link of a run")


def test_a_deleted_logged_model_that_no_run_names_is_named(store: HandMadeStore) -> None:
    model = store.path / "5" / "models" / MODEL
    changed(model, lifecycle_stage="deleted")
    assert read(store).unaccounted == []
    shutil.rmtree(store.path / "5" / ONE / "outputs")
    (found,) = read(store).unaccounted
    assert (found.kind, found.id, found.deleted) == ("logged_model", MODEL, True)
    assert "no run names it" in found.why


def test_the_folder_above_a_store_is_none(store: HandMadeStore) -> None:
    """It holds the store where a store would hold an experiment."""
    assert not read_store(store.home, store.home.parent).holds_any


@pytest.mark.parametrize("version", ["", "1.30", "2.1", "2.9", "2.22", "3.4"])
def test_nothing_is_named_of_what_clients_of_mlflow_write(
    version: str, mlflow_python: Callable[[str], str], tmp_path: Path
) -> None:
    folder = tmp_path / "mlruns"
    build(mlflow_python(version) if version else sys.executable, folder.as_uri(), registry=version != "1.30")
    found = read_store(folder, tmp_path)
    assert found.unaccounted == []
    trash = found.tree.pop(".trash")
    assert trash == {path.name: path for path in (folder / ".trash").iterdir()}
    assert set(found.tree) >= {"0"}
    assert found.tree == {name: folder / name for name in found.tree}


@pytest.mark.parametrize(
    ("said", "holds"), [("", True), ("name: x\nexperiment_id: '4'\n", True), ("run_id: x\n", False)]
)
def test_a_store_is_known_by_an_experiment_though_it_is_damaged(tmp_path: Path, said: str, *, holds: bool) -> None:
    (tmp_path / "mlruns" / "5").mkdir(parents=True)
    (tmp_path / "mlruns" / "5" / "meta.yaml").write_text(said)
    found = read_store(tmp_path / "mlruns", tmp_path)
    assert found.holds_any is holds
    assert [one.where for one in found.unaccounted] == ["5"]
