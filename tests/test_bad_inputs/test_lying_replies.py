"""Replies that are not what MLflow sends: another shape, another type in any field, names that no one would give."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_bad_inputs.liar import LISTING, MISSING, Liar, but
from tests.test_bad_inputs.test_flags import migration
from tests.test_bad_inputs.told import Surroundings, clean, run

#: What stands in place of a whole reply.
SHAPES = {
    "a page": b"<html>Welcome!</html>",
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a text": b'"text"',
    "half": b'{"a": [',
    "half a pair": b'{"a": "\\ud800"}',
    "not UTF-8": b"\xff{}",
    "a well": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
}
#: Replies that nothing works without.
ROUTES = [
    "src POST experiments/search",
    "src POST runs/search",
    "src POST logged-models/search",
    "src GET registered-models/search",
    "src GET model-versions/search",
    f"src GET {LISTING}",
    "dst POST experiments/create",
    "dst GET experiments/get",
    "dst POST runs/create",
    "dst POST logged-models",
    "dst POST model-versions/create",
]

RUNS, MODELS = "src POST runs/search", "src POST logged-models/search"
EXPERIMENTS, REGISTERED = "src POST experiments/search", "src GET registered-models/search"
VERSIONS = "src GET model-versions/search"
HUGE = 2**70

#: Fields of replies, each with values that MLflow never sends there.
FIELDS: list[tuple[str, str, list[Any]]] = [
    (EXPERIMENTS, "experiments", [{}, "x", None, [5], [None]]),
    (EXPERIMENTS, "experiments.0.experiment_id", [MISSING, 5, None, []]),
    (EXPERIMENTS, "experiments.0.name", [MISSING, 5, None, {}]),
    (EXPERIMENTS, "experiments.0.artifact_location", [5, []]),
    (EXPERIMENTS, "experiments.0.lifecycle_stage", [True, None]),
    (EXPERIMENTS, "experiments.0.creation_time", ["1", 1.5]),
    (EXPERIMENTS, "experiments.0.tags", [{}, "x", [5], [{"value": "without a key"}]]),
    (EXPERIMENTS, "experiments.0.tags.0.value", [5, None]),
    (EXPERIMENTS, "next_page_token", [5, [], True]),
    (RUNS, "runs", [{}, "x", None, [None]]),
    (RUNS, "runs.0.info", [MISSING, None, []]),
    (RUNS, "runs.0.info.run_id", [MISSING, 5, None]),
    (RUNS, "runs.0.info.experiment_id", [MISSING, 5, "", "../../x", "'"]),
    (RUNS, "runs.0.info.status", [5, None]),
    (RUNS, "runs.0.info.start_time", ["1", 1.5, []]),
    (RUNS, "runs.0.info.artifact_uri", [5, {}]),
    (RUNS, "runs.0.data", [5, []]),
    (RUNS, "runs.0.data.metrics", [{}, [5]]),
    (RUNS, "runs.0.data.metrics.0.key", [MISSING, 5, None]),
    (RUNS, "runs.0.data.metrics.0.value", ["high", [], None]),
    (RUNS, "runs.0.data.metrics.0.timestamp", [HUGE, -HUGE, 1.5, "1"]),
    (RUNS, "runs.0.data.metrics.0.step", [HUGE, -HUGE, "1"]),
    (RUNS, "runs.0.data.params.0.value", [5, None]),
    (RUNS, "runs.0.data.tags", [{}, None]),
    (RUNS, "runs.0.inputs.dataset_inputs", [{}, [5]]),
    (RUNS, "runs.0.outputs.model_outputs", [{}, [5], [{"step": 1}]]),
    (RUNS, "runs.0.outputs.model_outputs.0.step", ["1", None]),
    (RUNS, "next_page_token", [5, {}]),
    ("src GET metrics/get-history", "metrics.0.value", ["high", None]),
    ("src GET metrics/get-history", "metrics.0.timestamp", [HUGE, "1"]),
    ("src GET metrics/get-history", "metrics.0.key", [MISSING, 5]),
    (MODELS, "models", [{}, None, [5]]),
    (MODELS, "models.0.info", [MISSING, []]),
    (MODELS, "models.0.info.model_id", [MISSING, 5, None]),
    (MODELS, "models.0.info.experiment_id", [MISSING, 5, ""]),
    (MODELS, "models.0.data.metrics.0.value", ["high", []]),
    (MODELS, "models.0.data.metrics.0.timestamp", [HUGE, -HUGE]),
    (MODELS, "models.0.data.metrics.0.step", [HUGE, -HUGE]),
    (MODELS, "models.0.data.metrics.0.run_id", [5, None]),
    (REGISTERED, "registered_models", [{}, None, [5]]),
    (REGISTERED, "registered_models.0.name", [MISSING, 5, None]),
    (REGISTERED, "registered_models.0.tags", [{}, [5]]),
    (REGISTERED, "registered_models.0.aliases", [{}, [5], [{"alias": "best"}]]),
    (REGISTERED, "next_page_token", [5, []]),
    (VERSIONS, "model_versions", [{}, None, [5]]),
    (VERSIONS, "model_versions.0.name", [MISSING, 5]),
    (VERSIONS, "model_versions.0.version", [MISSING, 1, "", "0", "-1", "1.5", "one", "1 ", "\u0661", "9" * 30]),
    (VERSIONS, "model_versions.0.version", ["9999999999"]),
    (VERSIONS, "model_versions.0.source", [5, None]),
    (VERSIONS, "model_versions.0.tags", [{}, [5]]),
    (f"src GET {LISTING}", "files", [{}, "x", None, [5]]),
    (f"src GET {LISTING}", "files.0.is_dir", ["yes", None, 1]),
    (f"src GET {LISTING}", "files.0.file_size", [MISSING, -1, HUGE, "10", 1.5, 9, 11, 2**62]),
    ("dst POST experiments/create", "experiment_id", [MISSING, 7, None]),
    ("dst GET experiments/get", "experiment.experiment_id", [MISSING, 7]),
    ("dst POST runs/create", "run.info.run_id", [MISSING, 7]),
    ("dst POST logged-models", "model.info.model_id", [MISSING, 7, "../../x", "", "a/b"]),
    ("dst POST model-versions/create", "model_version.version", [MISSING, "2", "0", "x"]),
]
LIES = [(route, where, value) for route, where, values in FIELDS for value in values]

#: Names that are odd, but names: the objects arrive under them, and what is shown of them is plain text.
ODD = [
    "",
    " ",
    "\x00",
    "\x1b[2J",
    "\r",
    "\u202e",
    "a\nb",
    "../../x",
    "C:\\x",
    "'",
    '"; drop table',
    "`",
    "%2e%2e",
    "\U0001f4a9",
]
NAMED = [
    (EXPERIMENTS, "experiments.0.name"),
    (RUNS, "runs.0.info.run_name"),
    (MODELS, "models.0.info.name"),
    (REGISTERED, "registered_models.0.name"),
]


def _name(value: object) -> str:
    return "missing" if value is MISSING else repr(value)[:30]


def told(liar: Liar, surroundings: Surroundings, *, codes: tuple[int, ...] = (3, 5, 7)) -> str:
    """Runs a migration that must end with one of ``codes``, and say why; returns what it said."""
    before = surroundings.state()
    result = run(*migration(liar, "--progress", "off"))
    assert surroundings.state() == before
    clean(result)
    assert result.exit_code in codes, result.output
    if result.exit_code == 0:
        return result.output
    if not result.stderr and "Failed: " not in result.stdout:
        assert "Left behind at the source:" in result.stdout and "--accept " in result.stdout
    elif not result.stderr:
        assert "un the same command again" in result.stdout
        listed = run("status", "--work-dir", "work", "--failures")
        clean(listed)
        assert all(line.count("\t") == 4 and line.rstrip().endswith(".") for line in listed.stdout.splitlines())
    else:
        assert result.stderr.startswith("bulkexim: ") and result.stderr.count("\n") == 1
        assert len(result.stderr) < 4000
    return result.output


def test_the_truth_is_believed(liar: Liar, surroundings: Surroundings) -> None:
    result = run(*migration(liar, "--json", "--progress", "off"))
    assert result.exit_code == 0, result.output
    assert [kind["moved"] for kind in json.loads(result.stdout)["kinds"]] == [1, 1, 1, 1, 1]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("route", ROUTES)
def test_a_reply_of_another_shape(liar: Liar, surroundings: Surroundings, route: str, shape: str) -> None:
    liar.lying({route: SHAPES[shape]})
    told(liar, surroundings)


@pytest.mark.parametrize(("route", "where", "value"), LIES, ids=_name)
def test_a_field_that_holds_something_else(
    liar: Liar, surroundings: Surroundings, route: str, where: str, value: object
) -> None:
    liar.lying({route: but(route, where, value)})
    told(liar, surroundings)


@pytest.mark.parametrize("name", ODD, ids=_name)
def test_an_odd_name_is_a_name(liar: Liar, surroundings: Surroundings, name: str) -> None:
    liar.lying({route: but(route, where, name) for route, where in NAMED})
    told(liar, surroundings, codes=(0, 3))
    assert {path.name for path in Path("work").iterdir()} <= {"ledger.db", "lock", "logs"}


@pytest.mark.parametrize("where", ["experiments.0.name", "experiments.0.experiment_id"])
def test_a_name_of_a_megabyte(liar: Liar, surroundings: Surroundings, where: str) -> None:
    liar.lying({EXPERIMENTS: but(EXPERIMENTS, where, "a" * 1_000_000)})
    told(liar, surroundings, codes=(0, 3))


def test_an_object_that_is_listed_twice_is_moved_once(liar: Liar, surroundings: Surroundings) -> None:
    twice = json.loads(but(RUNS, "runs.0.info.run_name", "twice"))["runs"] * 2
    liar.lying({RUNS: but(RUNS, "runs", twice)})
    told(liar, surroundings, codes=(0,))
    assert len([seen for seen in liar.seen if seen.target.endswith("/runs/create")]) == 1
