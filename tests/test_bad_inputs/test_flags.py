"""Flags: addresses, numbers, times, lists and kinds that make no sense."""

import pytest

from tests.test_bad_inputs.liar import Liar
from tests.test_bad_inputs.told import SECRET, Surroundings, refused

#: What is given as --src-uri, with the exit code and words of the sentence.
SOURCES = [
    ("", 2, "--src-uri is missing"),
    (" ", 2, "There is no store at"),
    ("ftp://host/", 2, "the kind 'ftp'"),
    ("gopher://host", 2, "the kind 'gopher'"),
    ("javascript:alert(1)", 2, "the kind 'javascript'"),
    ("s3://bucket/mlruns", 2, "the kind 's3'"),
    ("dbfs:/mlruns", 2, "the kind 'dbfs'"),
    ("databricks", 2, "the kind 'databricks'"),
    ("databricks-uc", 2, "the kind 'databricks-uc'"),
    ("databricks://profile", 2, "the kind 'databricks'"),
    ("uc:somewhere", 2, "the kind 'uc'"),
    (f"postgresql://bob:{SECRET}@host/db", 2, "Start mlflow server --backend-store-uri"),
    (f"mysql+pymysql://bob:{SECRET}@host/db", 2, "Start mlflow server --backend-store-uri"),
    (f"mssql+pyodbc://bob:{SECRET}@host/db", 2, "Start mlflow server --backend-store-uri"),
    ("sqlite+aiosqlite:///a.db", 2, "Start mlflow server --backend-store-uri"),
    ("HTTPX://host", 2, "the kind 'httpx'"),
    ("localhost:5000", 2, "the kind 'localhost'"),
    ("http://", 2, "cannot be used"),
    ("http:", 2, "cannot be used"),
    ("https:///path", 2, "cannot be used"),
    ("http://:5000", 2, "cannot be used"),
    (f"http://bob:{SECRET}@", 2, "cannot be used"),
    ("http://host:port", 2, "is not a URL"),
    ("http://host:-1", 2, "port that cannot be"),
    ("http://127.0.0.1:0", 2, "port that cannot be"),
    ("http://host:65536", 2, "port that cannot be"),
    ("http://host:99999999999999999999", 2, "source"),
    ("http://host:5000:5000", 2, "source"),
    ("http://ho st:5000", 2, "source"),
    ("http://host\n:5000", 2, "source"),
    ("http://host\r\nX-Header: 1", 2, "source"),
    ("http://host/\x1b[2J", 2, "source"),
    ("http://[::1", 2, "source"),
    ("http://[not:an:address]:5000", 2, "source"),
    ("http://" + "a" * 100_000, 2, "source"),
    ("http://xn--/", 2, "source"),
    ("http://\u2603\u202e/", 2, "source"),
    ("http://..", 2, "names no host"),
    ("http://127.0.0.1:1", 5, "does not answer"),
    (f"http://bob:{SECRET}@127.0.0.1:1", 5, "does not answer"),
    ("http://no.such.host.invalid", 5, "does not answer"),
    ("http://a\x00b", 2, "holds a NUL"),
    ("\udcff", 2, "not in UTF-8"),
    ("~nobody-of-that-name/mlruns", 2, "There is no store at"),
    ("file://other-host/mlruns", 2, "names no folder of this machine"),
    ("file:", 2, "names no folder of this machine"),
    ("file://", 2, "names no folder of this machine"),
    ("file:///%00", 2, "store"),
    ("file:///no/such/folder", 2, "There is no store at"),
    ("file:no/such/folder", 2, "There is no store at"),
    ("./no-such-folder", 2, "There is no store at"),
    ("a" * 5000, 2, "store"),
    ("/" + "a/" * 5000, 2, "store"),
    ("sqlite:", 2, "names no file"),
    ("sqlite://", 2, "names no file"),
    ("sqlite:///", 2, "names no file"),
    ("sqlite:///:memory:", 2, "names no file"),
    ("sqlite:///?mode=ro", 2, "names no file"),
    ("sqlite://host/a.db", 2, "names no file"),
    ("sqlite:///no-such.db", 2, "There is no store at"),
    ("sqlite:////no/such.db", 2, "There is no store at"),
]

#: What is given as --dst-uri; the source answers.
DESTINATIONS = [
    ("", 2, "--dst-uri is missing"),
    ("./mlruns", 2, "must be a server"),
    (".", 2, "must be a server"),
    ("sqlite:///mlflow.db", 2, "must be a server"),
    ("file:///mlruns", 2, "must be a server"),
    ("not a url", 2, "must be a server"),
    ("ftp://host", 2, "the kind 'ftp'"),
    ("databricks", 2, "the kind 'databricks'"),
    (f"postgresql://bob:{SECRET}@host/db", 2, "Start mlflow server"),
    ("http://", 2, "cannot be used"),
    ("http://host:70000", 2, "destination"),
    ("http://127.0.0.1:1", 5, "does not answer"),
    (f"http://bob:{SECRET}@127.0.0.1:1", 5, "does not answer"),
]

#: Flags, with words of the sentence; all of them are found out before anything is asked of a server.
FLAGS = [
    (["--src-concurrency", "0"], "--src-concurrency"),
    (["--src-concurrency", "-1"], "--src-concurrency"),
    (["--src-concurrency", "1.5"], "--src-concurrency"),
    (["--src-concurrency", "nan"], "--src-concurrency"),
    (["--src-concurrency", "many"], "--src-concurrency"),
    (["--src-concurrency", ""], "--src-concurrency"),
    (["--src-concurrency", "9" * 30], "--src-concurrency"),
    (["--dst-concurrency", "10001"], "--dst-concurrency"),
    (["--dst-concurrency", "0x10"], "--dst-concurrency"),
    (["--src-rps", "0"], "--src-rps"),
    (["--src-rps", "-0.5"], "--src-rps"),
    (["--src-rps", "nan"], "src-rps"),
    (["--src-rps", "inf"], "src-rps"),
    (["--src-rps", "-inf"], "src-rps"),
    (["--src-rps", "1e-300"], "src-rps"),
    (["--src-rps", "1e300"], "src-rps"),
    (["--src-rps", "fast"], "--src-rps"),
    (["--dst-rps", "1,5"], "--dst-rps"),
    (["--run-start-time", ""], "'' is not a time"),
    (["--run-start-time", "soon"], "'soon' is not a time"),
    (["--run-start-time", "1767225600"], "is not a time"),
    (["--run-start-time", "01/02/2026"], "is not a time"),
    (["--run-start-time", "2026-13-01"], "is not a time"),
    (["--run-start-time", "2026-02-30"], "is not a time"),
    (["--run-start-time", "2026-01-01T25:00"], "is not a time"),
    (["--run-start-time", "2026-01-01T00:00+99:00"], "is not a time"),
    (["--run-start-time", "10000-01-01"], "is not a time"),
    (["--run-start-time", "0001-01-01"], "is before 1970"),
    (["--run-start-time", "1969-12-31"], "is before 1970"),
    (["--run-start-time", "-1"], "is not a time"),
    (["--run-start-time", "2026-01-01\x1b[2J"], "is not a time"),
    (["--runs-until", "yesterday"], "'yesterday' is not a time"),
    (["--runs-until", "9999-12-31T24:00"], "is not a time"),
    (["--run-start-time", "2026-02-01", "--runs-until", "2026-01-01"], "no run fits"),
    (["--run-start-time", "2026-02-01", "--runs-until", "2026-02-01"], "no run fits"),
    (["--run-start-time", "2026-01-01T00:00+01:00", "--runs-until", "2025-12-31T23:00"], "no run fits"),
    (["--experiments", ""], "--experiments: '' names nothing"),
    (["--experiments", " , ,"], "--experiments: ' , ,' names nothing"),
    (["--models", ""], "--models: '' names nothing"),
    (["--models", ","], "--models: ',' names nothing"),
    (["--models", "a\x00b"], "holds a NUL"),
    (["--experiments", "a\udcff"], "not in UTF-8"),
    (["--verify", "everything"], "--verify"),
    (["--verify", ""], "--verify"),
    (["--verify"], "--verify"),
    (["--progress", "loud"], "--progress"),
    (["--colour"], "--colour"),
    (["--src-ur", "x"], "--src-ur"),
    (["--include-deleted=yes"], "--include-deleted"),
    (["one", "two"], "unexpected extra argument"),
    (["--src-password"], "argument"),
    (["--src-token", "a\nb"], "header Authorization"),
    (["--src-token", "\u2603"], "header Authorization"),
    (["--dst-workspace", "a\r\nX-Header: 1"], "header X-MLFLOW-WORKSPACE"),
    (["--src-auth", "no-such-plugin"], "No installed plugin"),
    (["--src-server-cert-path", "no-such.pem"], "cannot be used as a certificate"),
    (["--dst-client-cert-path", "no-such.pem"], "cannot be used as a certificate"),
    (["--src-client-cert-path", "."], "cannot be used as a certificate"),
]

#: Flags whose sense only the source can tell.
SELECTIONS = [
    (["--without", "run"], "'run' cannot be left out"),
    (["--without", "models"], "'models' cannot be left out"),
    (["--without", "logged_model,everything"], "'everything' cannot be left out"),
    (["--without", "logged_model", "--without", "Registered_Model"], "'Registered_Model' cannot be left out"),
    (["--without", "\x1b[2J"], "cannot be left out"),
    (["--experiments", "no such"], "the source has no 'no such'"),
    (["--experiments", "first,no such"], "the source has no 'no such'"),
    (["--experiments", "FIRST"], "the source has no 'FIRST'"),
    (["--experiments", "' OR 1=1 --"], "the source has no"),
    (["--experiments", "../first"], "the source has no"),
    (["--experiments", "\x1b]0;x\x07"], "the source has no"),
    (["--experiments", "a" * 100_000], "the source has no"),
    (["--models", "no such"], "the source has no 'no such'"),
    (["--models", "fraud`"], "the source has no"),
    (["--models", '"'], "the source has no"),
    (["--models", "%66raud"], "the source has no"),
]

#: Other commands.
COMMANDS = [
    (["no-such-command"], "No such command"),
    (["migrate"], "No such command"),
    (["verify", "--level", "some"], "--level"),
    (["verify", "--recheck"], "--recheck"),
    (["verify"], "--src-uri is missing"),
    (["verify", "--src-uri", "http://host"], "--dst-uri is missing"),
    (["migrate-workspace"], "--src-uri is missing"),
    (["migrate-workspace", "--dst-uri", "http://host"], "--src-uri is missing"),
    (["status", "--format", "csv"], "--format"),
    (["status"], "no ledger"),
    (["status", "--work-dir", "a" * 5000], "cannot be looked at"),
    (["id-map"], "no ledger"),
    (["id-map", "--format", "xml"], "--format"),
    (["id-map", "--kind", "bogus"], "--kind: there is no kind 'bogus'. Possible are: experiment, run, "),
    (["id-map", "--kind", "run", "--kind", "runs"], "--kind: there is no kind 'runs'. Did you mean 'run'?"),
    (["id-map", "--kind", "logged-model"], "no ledger"),
    (["id-map", "--output", "no/such/folder/file"], "no ledger"),
]


def migration(liar: Liar, *args: str) -> list[str]:
    """Returns the arguments of a migration between the two servers that lie."""
    return [
        "migrate-workspace",
        "--src-uri",
        liar.url("src"),
        "--dst-uri",
        liar.url("dst"),
        *args,
        "--work-dir",
        "work",
    ]


@pytest.mark.parametrize(("uri", "code", "says"), SOURCES)
def test_a_source_that_cannot_be(liar: Liar, surroundings: Surroundings, uri: str, code: int, says: str) -> None:
    args = ["migrate-workspace", "--src-uri", uri, "--dst-uri", liar.url("dst"), "--work-dir", "work"]
    refused(surroundings, args, says, code=code)
    assert liar.seen == []


@pytest.mark.parametrize(("uri", "code", "says"), DESTINATIONS)
def test_a_destination_that_cannot_be(liar: Liar, surroundings: Surroundings, uri: str, code: int, says: str) -> None:
    args = ["migrate-workspace", "--src-uri", liar.url("src"), "--dst-uri", uri, "--work-dir", "work"]
    refused(surroundings, args, says, code=code)


@pytest.mark.parametrize(("args", "says"), FLAGS)
def test_a_flag_that_makes_no_sense(liar: Liar, surroundings: Surroundings, args: list[str], says: str) -> None:
    refused(surroundings, migration(liar, *args), says)
    assert not [seen for seen in liar.seen if seen.target.startswith("/dst")]


@pytest.mark.parametrize(("args", "says"), SELECTIONS)
def test_a_selection_that_the_source_cannot_fill(
    liar: Liar, surroundings: Surroundings, args: list[str], says: str
) -> None:
    refused(surroundings, migration(liar, *args), says)
    assert not [seen for seen in liar.seen if "create" in seen.target]


@pytest.mark.parametrize(("args", "says"), COMMANDS)
def test_a_command_that_cannot_be(surroundings: Surroundings, args: list[str], says: str) -> None:
    refused(surroundings, args, says)
