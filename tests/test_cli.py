"""The command line as a user meets it: results on stdout, sentences on stderr, exit codes, interruptions."""

import csv
import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from mlflow import MlflowClient

from bulkexim.cli.failures import Failures
from bulkexim.cli.main import main
from bulkexim.errors import BulkeximError, Refused, UsageError
from bulkexim.ledger.queries import look
from tests.conftest import StartServer
from tests.support.oracle import compare
from tests.support.servers import MlflowServer
from tests.support.tenant import Tenant
from tests.support.waiting import until

KINDS = {"experiment": 3, "logged_model": 1, "run": 3, "registered_model": 1, "model_version": 2}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    for name in [name for name in os.environ if name.startswith(("BULKEXIM_", "MLFLOW_TRACKING_"))]:
        monkeypatch.delenv(name)


def run(*args: str) -> Result:
    result = CliRunner().invoke(main, args)
    assert "Traceback" not in result.output
    return result


def migrate(source: Tenant, destination: MlflowServer, *args: str) -> Result:
    return run("migrate-workspace", "--src-uri", source.url, "--dst-uri", destination.url, *args)


def python(code: str, *args: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


MODULES = """
import sys
from bulkexim.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(*sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "args", [["--help"], *([name, "--help"] for name in ("migrate-workspace", "verify", "sweep", "status"))]
)
def test_help_comes_without_the_engine(args: list[str]) -> None:
    done = python(MODULES, *args)
    assert done.returncode == 0, done.stderr
    assert {"mlflow", "aiohttp", "httpx", "rich", "structlog"}.isdisjoint(done.stderr.splitlines()[-1].split())


def test_help_keeps_the_lines_of_examples_and_codes() -> None:
    for name in ("", "migrate-workspace", "verify", "sweep"):
        text = run(*filter(None, [name]), "--help").stdout
        assert "\\b" not in text
        assert re.search(r"^ +(bulkexim migrate-workspace --src-uri|counts  |doubled  )", text, re.MULTILINE), name


def test_every_setting_has_a_flag() -> None:
    text = run("migrate-workspace", "--help").stdout
    command = main.get_command(None, "migrate-workspace")  # type: ignore[arg-type]
    assert command is not None
    flags = {option for param in command.params for option in param.opts}
    settings = {"--" + name.replace("_", "-") for name in _settings()}
    assert settings <= flags
    assert all(flag in text for flag in settings)


def _settings() -> Iterator[str]:
    from bulkexim.given_settings import FileSettings

    yield from FileSettings.__struct_fields__


def test_a_migration_is_told_and_a_second_one_finds_everything_there(
    small_tenant: Tenant, fresh_server: StartServer
) -> None:
    destination = fresh_server()
    first = migrate(small_tenant, destination)
    assert first.exit_code == 0, first.output
    assert [line.split()[:4] for line in first.stdout.splitlines() if line.startswith("run ")] == [
        ["run", "3", "0", "3"]
    ]
    assert "Everything is accounted for. Next, which id became which: bulkexim id-map" in first.stdout
    assert "run: done, 3 of 3" in first.stderr
    assert "run: done" not in first.stdout

    second = migrate(small_tenant, destination, "--json", "--progress", "off")
    report = json.loads(second.stdout)
    assert second.stderr == ""
    assert (report["exit_code"], second.exit_code) == (0, 0)
    assert {kind["kind"]: kind["already"] for kind in report["kinds"]} == KINDS
    assert compare(small_tenant.url, destination.url) == []

    assert "the last run came to its end. Everything is accounted for." in run("status").stdout
    status = json.loads(run("status", "--json").stdout)
    assert (status["source"], status["running"], status["causes"]) == (small_tenant.url, False, {})
    assert {kind["kind"]: kind["complete"] for kind in status["kinds"]} == KINDS
    check_id_map(small_tenant, destination)
    check_log(Path(".bulkexim") / "logs")


def check_id_map(source: Tenant, destination: MlflowServer) -> None:
    rows = list(csv.DictReader(run("id-map").stdout.splitlines()))
    assert rows == json.loads(run("id-map", "--format", "json").stdout)
    assert run("id-map", "--kind", "run", "--kind", "logged_model", "--output", "map.csv").stdout == ""
    runs = {row["source_id"]: row for row in csv.DictReader(Path("map.csv").read_text().splitlines())}
    assert {row["kind"] for row in runs.values()} == {"run", "logged_model"}
    client = MlflowClient(destination.url)
    assert client.get_run(runs[source.runs["child"]]["destination_id"]).info.run_name == "child"
    assert json.loads(run("id-map", "--kind", "trace", "--format", "json").stdout) == []


def check_log(folder: Path) -> None:
    lines = [json.loads(line) for path in folder.iterdir() for line in path.read_text().splitlines()]
    finished = [line for line in lines if line["event"] == "finished" and line["outcome"] == "moved"]
    assert {line["kind"] for line in finished} == set(KINDS)
    assert len(finished) == sum(KINDS.values())
    assert {line["state"] for line in lines if line["event"] == "state"} == {"intent", "created", "filled", "sealed"}


def test_a_migration_never_imports_mlflow(small_tenant: Tenant, fresh_server: StartServer) -> None:
    uris = ["--src-uri", small_tenant.url, "--dst-uri", fresh_server().url]
    done = python(MODULES, "migrate-workspace", *uris, "--progress", "live")
    assert done.returncode == 0, done.stderr
    assert "mlflow" not in done.stderr.splitlines()[-1].split()


def test_a_dry_run_writes_nothing(small_tenant: Tenant, fresh_server: StartServer) -> None:
    destination = fresh_server()
    told = migrate(small_tenant, destination, "--dry-run")
    assert told.exit_code == 0, told.output
    assert "Nothing was written." in told.stdout
    plan = json.loads(migrate(small_tenant, destination, "-n", "--json").stdout)
    assert {kind["kind"]: kind["to_move"] for kind in plan["kinds"]} == KINDS
    assert list(Path().iterdir()) == []
    assert [one.name for one in MlflowClient(destination.url).search_experiments()] == ["Default"]


def test_what_failed_is_told_by_cause_with_the_next_command(small_tenant: Tenant, fresh_server: StartServer) -> None:
    destination = fresh_server()
    MlflowClient(destination.url).create_registered_model("small model")
    done = migrate(small_tenant, destination, "--work-dir", "its own")
    assert done.exit_code == 3, done.output
    assert "name taken" in done.stdout
    assert "Every failure: bulkexim status --failures --work-dir 'its own'" in done.stdout
    listed = run("status", "--failures", "--work-dir", "its own").stdout.splitlines()
    assert any(line.startswith("registered_model\tsmall model\tsmall model\tname taken") for line in listed)
    assert json.loads(run("status", "--work-dir", "its own", "--failures", "--json").stdout.splitlines()[0])["cause"]
    assert json.loads(run("status", "--work-dir", "its own", "--json").stdout)["causes"]["name taken"] == 1


def test_a_ledger_of_another_pair_is_fatal(small_tenant: Tenant, fresh_server: StartServer) -> None:
    assert migrate(small_tenant, fresh_server(), "--experiments", "small and empty").exit_code == 0
    done = migrate(small_tenant, fresh_server())
    assert (done.exit_code, done.stdout) == (7, "")
    # Before it may stand what took more than a moment.
    assert done.stderr.splitlines()[-1].startswith("bulkexim: The ledger in .bulkexim belongs to a migration to http")


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["status"], "There is no ledger in .bulkexim."),
        (["id-map", "--work-dir", "nowhere"], "There is no ledger in nowhere."),
        (["migrate-workspace", "--src-uri", "http://old"], "--dst-uri is missing."),
        (["migrate-workspace", "--config", "none.toml"], "none.toml: cannot be read"),
        (["migrate-workspace", "--src-rps", "0"], "'--src-rps'"),
        (["migrate-workspaces"], "No such command"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(args: list[str], sentence: str) -> None:
    done = run(*args)
    assert (done.exit_code, done.stdout) == (2, "")
    assert sentence in done.stderr


def code_of(failures: Failures, error: BaseException) -> int:
    def command() -> None:
        raise error

    return failures.code_of(command)


def test_a_bug_is_told_without_a_traceback_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failures = Failures()
    failures.work_dir, failures.mask = tmp_path, lambda text: text.replace("geheim", "***")

    def buggy(password: str) -> None:
        raise RuntimeError(f"cannot use {password}")

    code = failures.code_of(lambda: buggy("geheim"))
    said = capsys.readouterr().err
    (crash,) = tmp_path.glob("crash-*.txt")
    assert code == 1
    assert said.startswith("bulkexim: This is a bug of bulkexim (RuntimeError)")
    assert str(crash) in said
    assert "in buggy" in crash.read_text()
    assert "geheim" not in crash.read_text() + said
    assert stat.S_IMODE(crash.stat().st_mode) == 0o600


def test_each_error_has_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(Failures(), UsageError("Wrong.", "Do this.")) == 2
    assert code_of(Failures(), BulkeximError("Ours.")) == 1
    assert code_of(Failures(), KeyboardInterrupt()) == 130
    assert code_of(Failures(), OSError(errno.ENOSPC, "No space left on device", "spool")) == 5
    *said, full = capsys.readouterr().err.splitlines()
    assert said == ["bulkexim: Wrong. Do this.", "bulkexim: Ours.", "bulkexim: Interrupted."]
    assert full.startswith("bulkexim: spool: cannot be written (No space left on device). Free some space, then run")


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("Wrong.", "Wrong. Do this."),
        ("destination GET x: HTTP 403 Forbidden", "destination GET x: HTTP 403 Forbidden. Do this."),
        ("source GET x: OFF: is off (HTTP 500)", "source GET x: OFF: is off (HTTP 500). Do this."),
        ("source GET x: Who are you?", "source GET x: Who are you? Do this."),
    ],
)
def test_a_problem_and_what_to_do_are_two_sentences(
    capsys: pytest.CaptureFixture[str], problem: str, told: str
) -> None:
    """A problem may end with the words of a server, which have no full stop."""
    error = Refused(problem, remedy="Do this.")
    assert str(error) == told
    Failures().told(error)
    assert capsys.readouterr().err == f"bulkexim: {told}\n"


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_migration_goes_on_where_it_stopped(
    small_tenant: Tenant, fresh_server: StartServer, sign: signal.Signals, code: int
) -> None:
    destination = fresh_server()
    uris = ["--src-uri", small_tenant.url, "--dst-uri", destination.url]
    command = [sys.executable, "-m", "bulkexim", "migrate-workspace", *uris, "--dst-rps", "8"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: created("run") > 0 or process.poll() is not None)
        status = run("status")
        process.send_signal(sign)
        out, err = process.communicate(timeout=60)
    assert "A process is at work: " in status.stdout
    assert (process.returncode, out) == (code, ""), err
    assert "Unclosed" not in err
    assert err.splitlines()[-1].endswith("objects found so far are complete. Run the same command again to go on.")
    assert "To go on, run the same migration again." in run("status").stdout

    again = migrate(small_tenant, destination)
    assert again.exit_code == 0, again.output
    assert compare(small_tenant.url, destination.url) == []


def created(kind: str) -> int:
    """How many objects exist at the destination, as the ledger of another process says; 0 while there is none."""
    try:
        with closing(look(Path(".bulkexim"))) as queries:
            return sum(one == kind for _, _, one in queries.id_map())
    except BulkeximError:
        return 0


STUBBORN = """
import sys
import anyio
from bulkexim.cli.failures import Failures
from bulkexim.cli.interrupt import interruptible

async def work():
    with anyio.CancelScope(shield=True):
        print("ready", flush=True)
        await anyio.sleep_forever()

sys.exit(Failures().code_of(lambda: anyio.run(interruptible, work, lambda text: print(text, flush=True))))
"""


def test_a_second_signal_stops_at_once() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline().startswith("Stopping: what is on its way is finished.")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
