"""Files that the user gives: lists of names, new names, and the configuration."""

from pathlib import Path

import pytest

from bulkexim.given_settings import FileSettings
from tests.test_bad_inputs.liar import TRUTH, Liar, but
from tests.test_bad_inputs.test_flags import migration
from tests.test_bad_inputs.told import SECRET, Surroundings, refused, run

#: What a list of names holds (``None``: there is none), and words of the sentence.
LISTS = [
    (None, "cannot be read (No such file or directory)"),
    (b"", "names nothing"),
    (b"\n \n\t\n", "names nothing"),
    (b"\xef\xbb\xbf", "names nothing"),
    (b"\xff\xfef\x00i\x00r\x00s\x00t\x00", "is not text in UTF-8"),
    (b"caf\xe9", "is not text in UTF-8"),
    (b"\x80\x81\x82", "is not text in UTF-8"),
    (b"\xed\xa0\x80", "is not text in UTF-8"),
    (b"first\x00", "holds a NUL"),
    (b"SQLite format 3\x00\x10", "holds a NUL"),
    (b"no such\nnothing", "the source has no 'no such'"),
    (b"no such" * 10_000, "the source has no"),
]

#: What a rename file holds, and words of the sentence.
RENAMES = [
    (None, "cannot be read (No such file or directory)"),
    (b"alone", "line 1: expected 'old name,new name'"),
    (b"first,", "line 1: expected 'old name,new name'"),
    (b"first, ", "line 1: expected 'old name,new name'"),
    (b",second", "line 1: expected 'old name,new name'"),
    (b",", "line 1: expected 'old name,new name'"),
    (b"first,second,third", "line 1: expected 'old name,new name'"),
    (b"first;second", "line 1: expected 'old name,new name'"),
    (b"first\tsecond", "line 1: expected 'old name,new name'"),
    (b"a,b\n\nalone", "line 3: expected 'old name,new name'"),
    (b"a,b\na,c", "line 2: 'a' stands there twice"),
    (b"a,b\na,b", "line 2: 'a' stands there twice"),
    (b"a,c\nb,c", "line 2: 'c' stands there twice"),
    (b"a,c\n b , c ", "line 2: 'c' stands there twice"),
    (b"a,c\r\nb,c\r\n", "line 2: 'c' stands there twice"),
    (b"a*,x*\na*,y*", "line 2: 'a*' stands there twice"),
    (b'"a,b', "is not CSV"),
    (b'"a"b,c', "is not CSV"),
    (b'a,"' + b"b" * 200_000 + b'"', "is not CSV"),
    (b"a,b\x00", "holds a NUL"),
    (b"a,caf\xe9", "is not text in UTF-8"),
    (b"\xff\xfea\x00,\x00b\x00", "is not text in UTF-8"),
]

#: New names that make one of two objects which the source has: ``first`` and ``second``.
MERGING = [
    "first,second",
    "second,first",
    "first,x\nsecond*,x",
    "first*,x\nsecond*,x",
    "first,xnd\nseco*,x*",
]

#: Lines of a configuration file, and words of the sentence beside the name of the file.
CONFIGURATIONS = [
    (b"src-uri", "is not TOML"),
    (b"src-uri = ", "is not TOML"),
    (b"src-uri = http://host", "is not TOML"),
    (b"= 1", "is not TOML"),
    (b"[", "is not TOML"),
    (b"{}", "is not TOML"),
    (b'{"src-uri": "http://host"}', "is not TOML"),
    (b"src-uri: http://host", "is not TOML"),
    (b"src-rps = 1\nsrc-rps = 2", "is not TOML"),
    (b"src-uri = 'a\nb'", "is not TOML"),
    (b"src-uri = '\xe9'", "is not TOML"),
    (b"\xff\xfes\x00r\x00c\x00", "is not TOML"),
    (b"\x00", "is not TOML"),
    (b"src-rps = 99999999999999999999999999e999999", "src-rps: "),
    (b"src-rps = nan", "src-rps: "),
    (b"src-rps = inf", "src-rps: "),
    (b"src-rps = -inf", "src-rps: "),
    (b"src-rps = 0", "src-rps: expected a number >= 0.001"),
    (b"src-concurrency = 1e3", "src-concurrency: "),
    (b"src-concurrency = 0", "src-concurrency: expected a whole number >= 1"),
    (b"src-concurrency = 99999999999999999999", "src-concurrency: expected a whole number <= 10000"),
    (b"verify = 'everything'", "verify: expected one of counts, content, full, got 'everything'"),
    (b"verify = true", "verify: expected a text, got true or false"),
    (b"verify = ''", "verify: expected one of counts, content, full"),
    (b"src_uri = 'http://host'", "there is no setting 'src_uri'. Did you mean 'src-uri'?"),
    (b"SRC-URI = 'http://host'", "there is no setting 'SRC-URI'"),
    (b"colour = 'red'", "there is no setting 'colour'. Known are: src-uri"),
    (b"'' = 1", "there is no setting ''"),
    (b'"\\u001b[2J" = 1', "there is no setting '\\x1b[2J'"),
    (b"password = '" + SECRET.encode() + b"'", "there is no setting 'password'"),
    (b"[src]\nuri = 'http://host'", "there is no setting 'src'"),
    (b"[bulkexim]\nsrc-uri = 'http://host'", "there is no setting 'bulkexim'"),
    (b"src.uri = 'http://host'", "there is no setting 'src'"),
    (b"[src-uri]\nhost = 1", "src-uri: expected a text, got a table"),
    (b"[[experiments]]\nname = 'first'", "experiments[0]: expected a text, got a table"),
    (b"experiments = [['first']]", "experiments[0]: expected a text, got a list"),
    (b"experiments = ['first', 2]", "experiments[1]: expected a text, got a whole number"),
    (b"experiments = 1", "experiments: expected a text or a list, got a whole number"),
    (b"run-start-time = 07:32:00", "run-start-time: expected a text, got a time of day"),
    (b"run-start-time = 1767225600", "run-start-time: expected a text, got a whole number"),
    (b'work-dir = "a\\u0000b"', "work-dir: holds a NUL"),
    (b'experiments = ["a", "b\\u0000"]', "experiments: holds a NUL"),
    (b'src-token = "hunter2\\u0000"', "src-token: holds a NUL"),
]

#: What no key of a configuration file takes.
WRONG = {"list of numbers": "[1]", "table": "{ a = 1 }", "date": "07:32:00"}
KEYS = [
    (name.replace("_", "-"), wrong) for name in FileSettings.__struct_fields__ for wrong in ("table", "list of numbers")
]

#: Variables, with words of the sentence.
VARIABLES = [
    ("BULKEXIM_SRC_RPS", "fast", "BULKEXIM_SRC_RPS: expected a number"),
    ("BULKEXIM_SRC_RPS", "nan", "BULKEXIM_SRC_RPS: "),
    ("BULKEXIM_SRC_CONCURRENCY", "1.5", "BULKEXIM_SRC_CONCURRENCY: expected a whole number"),
    ("BULKEXIM_DST_CONCURRENCY", "-1", "BULKEXIM_DST_CONCURRENCY: expected a whole number >= 1"),
    ("BULKEXIM_INCLUDE_DELETED", "perhaps", "BULKEXIM_INCLUDE_DELETED: expected true or false"),
    ("BULKEXIM_DRY_RUN", "2", "BULKEXIM_DRY_RUN: expected true or false"),
    ("BULKEXIM_VERIFY", "all", "BULKEXIM_VERIFY: expected one of counts, content, full"),
    ("BULKEXIM_RUN_START_TIME", "soon", "run-start-time: 'soon' is not a time"),
    ("BULKEXIM_WITHOUT", "run", "--without: 'run' cannot be left out"),
    ("BULKEXIM_EXPERIMENTS", ",", "--experiments: ',' names nothing"),
    ("BULKEXIM_SRC_MLFLOW_TRACKING_INSECURE_TLS", "maybe", "BULKEXIM_SRC_MLFLOW_TRACKING_INSECURE_TLS: expected true"),
    ("MLFLOW_TRACKING_INSECURE_TLS", "maybe", "MLFLOW_TRACKING_INSECURE_TLS: expected true or false"),
    ("MLFLOW_TRACKING_AUTH", "no-such-plugin", "No installed plugin provides the login 'no-such-plugin'"),
    ("MLFLOW_TRACKING_SERVER_CERT_PATH", "no-such.pem", "cannot be used as a certificate"),
]

#: Variables that nobody reads, and what the warning about them says.
STRANGERS = [
    ("BULKEXIM_SRC_URL", "Did you mean BULKEXIM_SRC_URI?"),
    ("BULKEXIM_SOURCE_TOKEN", "Did you mean "),
    ("BULKEXIM_WORKDIR", "Did you mean BULKEXIM_WORK_DIR?"),
    ("BULKEXIM_DST_MLFLOW_TRACKING_USER", "Did you mean BULKEXIM_DST_MLFLOW_TRACKING_USERNAME?"),
    ("BULKEXIM_", "Each is named after a flag"),
    ("BULKEXIM_\x1b[2J", "is not a variable"),
    ("BULKEXIM_COLOUR", "Each is named after a flag"),
]


def given(content: bytes | None, name: str) -> str:
    """Writes a file into the current directory and returns its name."""
    if content is not None:
        Path(name).write_bytes(content)
    return name


@pytest.mark.parametrize("flag", ["--experiments", "--models"])
@pytest.mark.parametrize(("content", "says"), LISTS)
def test_a_list_that_holds_no_names(
    liar: Liar, surroundings: Surroundings, content: bytes | None, says: str, flag: str
) -> None:
    refused(surroundings, migration(liar, flag, given(content, "names.txt")), says)


@pytest.mark.parametrize("flag", ["--experiment-rename-file", "--model-rename-file"])
@pytest.mark.parametrize(("content", "says"), RENAMES)
def test_a_rename_file_that_is_none(
    liar: Liar, surroundings: Surroundings, content: bytes | None, says: str, flag: str
) -> None:
    refused(surroundings, migration(liar, flag, given(content, "names.csv")), "names.csv: ", says)
    assert liar.seen == []


@pytest.mark.parametrize("flag", ["--experiments", "--experiment-rename-file", "--config"])
def test_a_folder_in_place_of_a_file(liar: Liar, surroundings: Surroundings, flag: str) -> None:
    Path("folder.txt").mkdir()
    refused(surroundings, migration(liar, flag, "folder.txt"), "folder.txt: cannot be read (Is a directory)")


@pytest.mark.parametrize("content", MERGING)
@pytest.mark.parametrize("kind", ["experiment", "model"])
def test_two_objects_do_not_become_one_by_their_new_names(
    liar: Liar, surroundings: Surroundings, kind: str, content: str
) -> None:
    route, key = {
        "experiment": ("src POST experiments/search", "experiments"),
        "model": ("src GET registered-models/search", "registered_models"),
    }[kind]
    first = TRUTH[route][key][0]
    both = [{**first, "name": "first"}, {**first, "name": "second"}]
    liar.lying({route: but(route, key, both)})
    args = migration(liar, f"--{kind}-rename-file", given(content.encode(), "names.csv"))
    refused(surroundings, args, f"--{kind}-rename-file: ", "and become one")
    assert not [seen for seen in liar.seen if "create" in seen.target]


@pytest.mark.parametrize(("content", "says"), CONFIGURATIONS)
def test_a_configuration_that_is_wrong(liar: Liar, surroundings: Surroundings, content: bytes, says: str) -> None:
    refused(surroundings, migration(liar, "--config", given(content, "team.toml")), "team.toml: ", says)
    assert liar.seen == []


@pytest.mark.parametrize(("key", "wrong"), KEYS)
def test_a_key_that_holds_something_else(liar: Liar, surroundings: Surroundings, key: str, wrong: str) -> None:
    content = f"{key} = {WRONG[wrong]}".encode()
    sentence = refused(surroundings, migration(liar, "--config", given(content, "team.toml")), f"team.toml: {key}")
    assert "expected" in sentence and "`" not in sentence


@pytest.mark.parametrize(("name", "value", "says"), VARIABLES)
def test_a_variable_that_holds_something_else(
    liar: Liar, surroundings: Surroundings, name: str, value: str, says: str
) -> None:
    refused(surroundings, migration(liar), says, environ={name: value})


@pytest.mark.parametrize(("name", "says"), STRANGERS)
def test_a_variable_that_nobody_reads_is_warned_of(surroundings: Surroundings, name: str, says: str) -> None:
    result = run("status", environ={name: SECRET})
    warning, sentence = result.stderr.splitlines()
    assert warning.startswith("bulkexim: warning: 'BULKEXIM_") and says in warning
    assert "no ledger" in sentence
    assert SECRET not in result.output and "\x1b" not in result.output


def test_variables_of_ours_are_not_warned_of(surroundings: Surroundings) -> None:
    ours = {
        "BULKEXIM_SRC_URI": "http://host",
        "BULKEXIM_DST_MLFLOW_TRACKING_TOKEN": SECRET,
        "BULKEXIM_TEST_MLFLOW": "",
    }
    assert "warning" not in run("status", environ=ours).stderr
