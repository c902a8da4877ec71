"""Settings: where they come from, who wins, and what is said about wrong ones."""

import re
import tomllib
from pathlib import Path

import pytest

from bulkexim import given_settings as config
from bulkexim.config import Endpoint, Selection, Settings
from bulkexim.errors import UsageError
from bulkexim.given_settings import FileSettings

EXAMPLE = Path(__file__).parent.parent / "config" / "bulkexim.toml"
JANUARY = 1_767_225_600_000


def written(folder: Path, text: str, name: str = "team.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, 'src-uri = "http://file"\ndst-uri = "http://file"\nsource-id = "file"\nsrc-rps = 1\n')
    environ = {"BULKEXIM_DST_URI": "http://environment", "BULKEXIM_SOURCE_ID": "environment", "BULKEXIM_SRC_RPS": ""}
    merged = config.load({"source_id": "flag", "dst_rps": None}, path, environ)
    assert (merged.src_uri, merged.dst_uri, merged.source_id) == ("http://file", "http://environment", "flag")
    assert (merged.src_rps, merged.dst_rps) == (1.0, None)


def test_texts_of_the_environment_become_numbers_and_truth_values() -> None:
    environ = {"BULKEXIM_SRC_CONCURRENCY": "4", "BULKEXIM_DST_RPS": "2.5", "BULKEXIM_INCLUDE_DELETED": "true"}
    merged = config.load({}, None, environ)
    assert (merged.src_concurrency, merged.dst_rps, merged.include_deleted) == (4, 2.5, True)


def test_mlflows_own_variables_serve_both_sides_and_a_prefixed_one_wins() -> None:
    environ = {
        "MLFLOW_TRACKING_TOKEN": "shared",
        "BULKEXIM_DST_MLFLOW_TRACKING_TOKEN": "prefixed",
        "BULKEXIM_DST_TOKEN": "own",
        "MLFLOW_TRACKING_INSECURE_TLS": "true",
    }
    merged = config.load({"src_uri": "http://a", "dst_uri": "http://b"}, None, environ)
    source, destination = config.endpoint(merged, "src"), config.endpoint(merged, "dst")
    assert (source.token, destination.token) == ("shared", "prefixed")
    assert source.insecure_tls
    assert destination.insecure_tls


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("src-ur = 'x'", "there is no setting 'src-ur'. Did you mean 'src-uri'?"),
        ("colour = 'red'", "there is no setting 'colour'. Known are: src-uri, dst-uri,"),
        ("src-rps = 'fast'", "src-rps: expected a number, got a text."),
        ("src-concurrency = 0", "src-concurrency: expected a whole number >= 1."),
        ("include-deleted = 1", "include-deleted: expected true or false, got a whole number."),
        ("experiments = [1]", "experiments[0]: expected a text, got a whole number."),
        ("src-uri", "is not TOML"),
    ],
)
def test_a_wrong_file_is_told_by_file_key_and_expectation(tmp_path: Path, text: str, sentence: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UsageError, match=re.escape(f"{path}: {sentence}")):
        config.load({}, path, {})


def test_a_wrong_variable_is_told_by_its_name() -> None:
    with pytest.raises(UsageError, match="MLFLOW_TRACKING_INSECURE_TLS: expected true or false"):
        config.load({}, None, {"MLFLOW_TRACKING_INSECURE_TLS": "perhaps"})


def test_a_missing_file_and_a_missing_address_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read \(No such file"):
        config.load({}, tmp_path / "none.toml", {})
    with pytest.raises(UsageError, match="--dst-uri is missing"):
        config.endpoint(config.load({}, None, {}), "dst")


def test_a_selection_is_a_list_a_text_or_a_file(tmp_path: Path) -> None:
    names = written(tmp_path, "one, with a comma\n\n two \n", "names.txt")

    def chosen(value: object) -> Selection:
        return config.settings(config.load({"experiments": value}, None, {})).experiments

    assert chosen("a*, b") == ("a*", "b")
    assert chosen(("a, b", "c")) == ("a, b", "c")
    assert chosen(str(names)) == ("one, with a comma", "two")
    assert chosen("all") == chosen(("all",)) == "all"
    assert chosen(None) is None
    with pytest.raises(UsageError, match="names nothing"):
        chosen(" , ")


def test_times_are_utc_and_may_be_dates_of_toml(tmp_path: Path) -> None:
    path = written(tmp_path, "run-start-time = 2026-01-01\nruns-until = 2026-01-01T02:00:00+01:00")
    settings = config.settings(config.load({}, path, {}))
    assert (settings.run_start_time, settings.runs_until) == (JANUARY, JANUARY + 3_600_000)
    with pytest.raises(UsageError, match=r"runs-until: 'soon' is not a time\. Expected a UTC date"):
        config.settings(config.load({"runs_until": "soon"}, None, {}))


def test_renames_are_csv(tmp_path: Path) -> None:
    path = written(tmp_path, 'old,new\n\n"with, comma",plain\nteam-*,group-*\n', "names.csv")
    settings = config.settings(config.load({"model_rename_file": str(path)}, None, {}))
    assert settings.model_renames == {"old": "new", "with, comma": "plain", "team-*": "group-*"}
    with pytest.raises(UsageError, match="line 1: expected 'old name,new name'"):
        config.settings(config.load({"model_rename_file": str(written(tmp_path, "alone"))}, None, {}))


def test_secrets_do_not_show_in_a_repr() -> None:
    merged = config.load({"src_uri": "http://ada:geheim@host", "src_token": "geheim"}, None, {})
    assert "geheim" not in f"{merged!r} {config.endpoint(merged, 'src')!r}"


def test_the_example_names_every_key_and_holds_with_all_of_them(tmp_path: Path) -> None:
    merged = config.load({}, EXAMPLE, {})
    assert config.settings(merged) == Settings()
    assert config.endpoint(merged, "src") == Endpoint(uri="http://old:5000")
    everything = re.sub(r"(?m)^#(?=[a-z-]+ = )", "", EXAMPLE.read_text())
    assert set(tomllib.loads(everything)) == {name.replace("_", "-") for name in FileSettings.__struct_fields__}
    assert None not in [
        getattr(config.load({}, written(tmp_path, everything), {}), name) for name in FileSettings.__struct_fields__
    ]
