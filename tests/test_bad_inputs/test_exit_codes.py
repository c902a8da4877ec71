"""Exit codes: each kind of mistake has one, whichever command meets it; what cannot be printed is nobody's bug."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
import pytest

from bulkexim import Settings, migrate
from bulkexim.cli.failures import Failures
from bulkexim.errors import FatalError
from bulkexim.ids import DestinationId, SourceId
from bulkexim.ledger.files import locked
from bulkexim.ledger.opening import journal
from tests.conftest import StartServer
from tests.support.tenant import Tenant
from tests.test_bad_inputs.liar import Liar
from tests.test_bad_inputs.test_flags import migration
from tests.test_bad_inputs.told import Surroundings, refused

FULL = Path("/dev/full")
ROOT = Path(__file__).parent.parent.parent
#: More than a pipe or a buffer holds.
OBJECTS = 3000


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work directory with a ledger in it; the names of its objects have a letter that ASCII lacks."""
    folder = tmp_path_factory.mktemp("work")

    async def write() -> None:
        async with journal(folder) as ledger:
            ledger.bind("http://old", "http://new")
            names = {SourceId(f"model \u00e9 {number:04}"): f"model {number}" for number in range(OBJECTS)}
            await ledger.planned("registered_model", names)
            await ledger.adopted(
                "registered_model", [(name, name, DestinationId(name), "", "digest") for name in names]
            )
            await ledger.failed("registered_model", next(iter(names)), "a caus\u00e9", "An error.")

    anyio.run(write)
    return folder


def bulkexim(*args: object, **options: object) -> "subprocess.CompletedProcess[bytes]":
    """Runs a command in a process of its own."""
    command = [sys.executable, "-m", "bulkexim", *map(str, args)]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    return subprocess.run(command, check=False, timeout=120, **(given | options))  # type: ignore[call-overload, no-any-return]


@contextmanager
def nobody_reads() -> Iterator[int]:
    """Gives a pipe whose other end is closed."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize("args", [["status"], ["id-map", "--format", "json"], ["--help"]])
def test_an_output_that_is_full_is_temporary_trouble(ledger: Path, args: list[str]) -> None:
    place = [] if args == ["--help"] else ["--work-dir", ledger]
    with FULL.open("wb") as full:
        done = bulkexim(*args, *place, stdout=full)
    assert done.returncode == 5
    assert done.stderr.startswith(b"bulkexim: The output: cannot be written (No space left on device). Free some")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("args", [["status", "--failures"], ["id-map"]])
def test_a_reader_who_has_seen_enough_is_no_failure(ledger: Path, args: list[str]) -> None:
    with nobody_reads() as pipe:
        done = bulkexim(*args, "--work-dir", ledger, stdout=pipe)
    assert (done.returncode, done.stderr) == (0, b"")


def test_closed_streams_are_no_failure(ledger: Path) -> None:
    for number in (1, 2):
        close = partial(os.close, number)
        assert bulkexim("id-map", "--work-dir", ledger, preexec_fn=close).returncode == 0


@pytest.mark.parametrize("view", ["plain", "live"])
def test_a_migration_goes_on_when_nobody_can_see_its_progress(
    small_tenant: Tenant, fresh_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str
) -> None:
    if view == "live":
        monkeypatch.setenv("FORCE_COLOR", "1")  # Rich takes any stream for a terminal then.
    command = ["migrate-workspace", "--src-uri", small_tenant.url, "--dst-uri", fresh_server().url]
    command += ["--work-dir", str(tmp_path), "--progress", view]
    with FULL.open("wb") as full, nobody_reads() as pipe:
        done = bulkexim(*command, stderr=full)
        assert (done.returncode, b"Everything is accounted for" in done.stdout) == (0, True)
        assert bulkexim(*command, stdout=pipe, stderr=pipe).returncode == 0
        done = bulkexim(*command, "--json", stdout=full)
        assert (done.returncode, b"bulkexim: The output: cannot be" in done.stderr.splitlines()[-1]) == (5, True)


def test_letters_that_the_terminal_lacks_are_shown_by_their_numbers_and_files_hold_them(ledger: Path) -> None:
    ascii_only = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    shown = bulkexim("status", "--work-dir", ledger, env=ascii_only)
    assert (shown.returncode, b"a caus\\xe9" in shown.stdout) == (0, True)
    written = bulkexim("id-map", "--work-dir", ledger, env=ascii_only)
    assert (written.returncode, "model \u00e9 0000".encode() in written.stdout) == (0, True)


#: Names for --output, and the exit code.
OUTPUTS = [("missing/map.csv", 2), (".", 2), ("", 2), ("a" * 300, 2), ("/dev/full", 5), ("/dev/null", 0), ("-", 0)]


@pytest.mark.parametrize(("name", "code"), OUTPUTS)
def test_an_output_file_that_cannot_be_written(ledger: Path, surroundings: Surroundings, name: str, code: int) -> None:
    args = ["id-map", "--work-dir", str(ledger), "--output", name]
    if code:
        refused(surroundings, args, "cannot be written", code=code)
    else:
        assert bulkexim(*args).returncode == 0
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()


def test_a_file_has_its_name_when_it_is_complete(ledger: Path, surroundings: Surroundings) -> None:
    args = ["id-map", "--work-dir", str(ledger), "--output", "map.csv"]
    assert bulkexim(*args).returncode == 0
    before = Path("map.csv").read_text(encoding="utf-8")
    assert len(before.splitlines()) == OBJECTS + 1
    assert [path.name for path in surroundings.here.iterdir()] == ["map.csv"]


def test_a_work_directory_that_another_process_holds_is_temporary_trouble(
    liar: Liar, surroundings: Surroundings
) -> None:
    with locked(Path("work")):
        refused(surroundings, migration(liar), "Another process is migrating with work", code=5)


def test_a_log_that_cannot_be_written_is_wrong_usage(liar: Liar, surroundings: Surroundings) -> None:
    Path("work").mkdir()
    Path("work/logs").write_text("in the way", encoding="utf-8")
    for command in ("migrate-workspace", "verify", "sweep"):
        refused(surroundings, [command, *migration(liar)[1:]], "cannot be written", code=2)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "spool"), 5, "spool: cannot be written"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 5, "A file: cannot be written"),
        (OSError(errno.EMFILE, "Too many open files"), 5, "Raise the limit"),
        (PermissionError(errno.EACCES, "Permission denied", "place"), 2, "place: cannot be used"),
        (OSError(errno.EROFS, "Read-only file system", "place"), 2, "place: cannot be used"),
        (FileNotFoundError(errno.ENOENT, "No usable temporary directory found"), 2, "TMPDIR"),
        (MemoryError(), 5, "There is not enough memory."),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), 1, "This is a bug of bulkexim"),
    ],
)
def test_trouble_of_the_machine_is_no_bug(
    error: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command() -> None:
        raise error

    assert Failures().code_of(command) == code
    assert says in capsys.readouterr().err


def test_windows_is_refused_in_a_sentence(
    liar: Liar, surroundings: Surroundings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    for args in (migration(liar), ["status"], ["id-map"]):
        refused(surroundings, args, "does not run on Windows", "WSL", code=7)

    async def library() -> None:
        await migrate("http://old", "http://new", Settings(work_dir=Path("work")))

    with pytest.raises(FatalError, match="does not run on Windows"):
        anyio.run(library)
    assert liar.seen == []
