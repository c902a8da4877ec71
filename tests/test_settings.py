"""What can be chosen is checked when it is chosen: a library's caller is told in the sentence that a command prints."""

from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import pytest

from bulkexim import Endpoint, Level, Settings
from bulkexim.errors import UsageError


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"experiments": "12"}, "experiments: expected \"all\" or a list of names, ids and globs, got the text '12'."),
        ({"models": "fraud"}, "Give ('fraud',)."),
        ({"models": ""}, 'models: expected "all" or a list'),
        ({"experiments": ()}, "experiments: an empty list names nothing."),
        ({"experiments": ("",)}, "experiments: an empty list names nothing."),
        ({"experiments": ("a", "")}, "experiments"),
        ({"experiments": (12,)}, "experiments: expected a text, got a whole number."),
        ({"experiments": 12}, "experiments"),
        ({"experiments": {"a": "b"}}, "experiments"),
        ({"models": b"fraud"}, "models"),
        ({"models": ("all", "fraud")}, 'models: "all" stands for every one of them'),
        ({"models": ("a\0b",)}, "models: holds a NUL"),
        ({"experiments": ("a\udcff",)}, "experiments: holds a NUL, or is not in UTF-8"),
        ({"models": ("fraud",), "without": ("registered_model",)}, "contradict each other"),
        ({"without": "logged_model"}, "without: expected a list, got a text."),
        ({"without": ("run",)}, "--without: 'run' cannot be left out. Possible are: logged_model, registered_model."),
        ({"run_start_time": "2026-01-01"}, "run_start_time: expected a whole number, got a text."),
        ({"run_start_time": datetime(2026, 1, 1, tzinfo=UTC)}, "run_start_time: expected a whole number"),
        ({"run_start_time": -1}, "run_start_time: expected a whole number >= 0."),
        ({"runs_until": True}, "runs_until: expected a whole number, got true or false."),
        ({"run_start_time": 2, "runs_until": 2}, "no run fits"),
        ({"include_deleted": "no"}, "include_deleted: expected true or false, got a text."),
        ({"artifacts": 0}, "artifacts: expected true or false"),
        ({"experiment_renames": "renames.csv"}, "experiment_renames: expected a table, got a text."),
        ({"model_renames": ("a", "b")}, "model_renames: expected a table, got a list."),
        ({"model_renames": {"a": 1}}, "model_renames: expected a text, got a whole number."),
        ({"model_renames": {"a": ""}}, "model_renames: a name is empty."),
        ({"work_dir": 5}, "work_dir: expected a path, got 5."),
        ({"work_dir": None}, "work_dir: expected a path, got None."),
        ({"work_dir": "a\0b"}, "work_dir: holds a NUL"),
        ({"source_id": ""}, "source_id"),
        ({"source_id": 5}, "source_id: expected a text"),
        ({"recheck": "yes"}, "recheck: expected true or false"),
        ({"settle_seconds": -1}, "settle_seconds: expected a number >= 0"),
        ({"reply_seconds": float("nan")}, "reply_seconds: expected a number >= 0"),
        ({"patience_seconds": "10"}, "patience_seconds: expected a number, got a text."),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_where_it_is_made(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        Settings(**given)
    assert says in str(error.value)
    assert error.value.remedy
    with pytest.raises(UsageError):
        msgspec.structs.replace(Settings(), **given)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"uri": ""}, "The address of a server is empty."),
        ({"uri": None}, "uri: expected a text"),
        ({"uri": Path("mlruns")}, "uri: expected a text"),
        ({"uri": "http://a\0b"}, "uri: holds a NUL"),
        ({"concurrency": 0}, "concurrency: expected a whole number >= 1."),
        ({"concurrency": "4"}, "concurrency: expected a whole number, got a text."),
        ({"rps": -1}, "rps: expected a number >= 0.001."),
        ({"rps": float("inf")}, "rps: expected a number <="),
        ({"token": 5}, "token: expected a text"),
        ({"insecure_tls": "false"}, "insecure_tls: expected true or false"),
        ({"artifacts_dir": 5}, "artifacts_dir: expected a text"),
    ],
)
def test_an_end_that_makes_no_sense_is_refused_where_it_is_made(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        Endpoint(**{"uri": "http://host"} | given)
    assert says in str(error.value)
    assert error.value.remedy


def test_a_level_that_does_not_exist_is_refused() -> None:
    assert Level.of("full") is Level.FULL
    with pytest.raises(UsageError, match="There is no level 'everything'"):
        Level.of("everything")


def test_what_stands_for_a_value_becomes_it() -> None:
    made = Settings(work_dir="x", experiments=["a"], without=["logged_model"], settle_seconds=1)  # type: ignore[arg-type]
    assert (made.work_dir, made.experiments, made.without, made.settle_seconds) == (
        Path("x"),
        ("a",),
        ("logged_model",),
        1.0,
    )
    assert Settings(work_dir=PurePosixPath("x")).work_dir == Path("x")  # type: ignore[arg-type]
    assert Settings(models=("all",)) == Settings(models="all")


@pytest.mark.parametrize(
    ("given", "experiments", "models"),
    [
        ({}, True, True),
        ({"experiments": ("x",)}, True, False),
        ({"experiments": "all"}, True, False),
        ({"models": ("m",)}, False, True),
        ({"models": "all"}, False, True),
        ({"experiments": ("x",), "models": "all"}, True, True),
        ({"experiments": "all", "models": "all"}, True, True),
        ({"without": ("registered_model",)}, True, False),
    ],
)
def test_all_and_nothing_said_are_two_things(given: dict[str, Any], experiments: bool, models: bool) -> None:
    made = Settings(**given)
    assert (made.moves_experiments, made.moves_models) == (experiments, models)
