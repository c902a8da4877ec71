"""What every case of bad input has to end in, and the surroundings in which it is tried."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bulkexim.cli.main import main

SECRET = "hunter2"
#: One of these stands in every sentence: what to do, or what was expected.
REMEDY = re.compile(
    r"Give|give|Go on|Check|Use|Start|Run|run|Install|Move|Expected|expected|Did you mean|Known are|Possible are|Quote"
    r"|Name|Write|Upgrade|Save|Leave|does not take|Try '|Remove|Mend|mend"
)
#: What may reach a terminal: a name with an escape sequence must not repaint it.
PLAIN = re.compile(r"[^\x00-\x08\x0b-\x1f\x7f-\x9f]*")

Prepare = Callable[[Path], object]


@dataclass(frozen=True)
class Surroundings:
    """A directory with everything that a command could touch: the current one, HOME, temporary files."""

    root: Path

    @property
    def here(self) -> Path:
        """The current directory; ``work`` in it is the work directory."""
        return self.root / "here"

    def state(self) -> dict[str, str]:
        """Everything there apart from the work directory, with digests of files."""
        work = self.here / "work"
        return {str(path): _looks(path) for path in self.root.rglob("*") if path != work and work not in path.parents}


@pytest.fixture
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """Makes a home, a temporary and a current directory that nobody else uses, and an environment without settings."""
    for name in ("here", "home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in [name for name in os.environ if name.startswith(("BULKEXIM_", "MLFLOW_TRACKING_"))]:
        monkeypatch.delenv(name)
    return Surroundings(tmp_path)


def run(*args: str, environ: Mapping[str, str] | None = None) -> Result:
    """Runs a command in this process."""
    return CliRunner().invoke(main, args, env=environ)


def refused(
    surroundings: Surroundings,
    args: list[str],
    *says: str,
    code: int = 2,
    environ: Mapping[str, str] | None = None,
) -> str:
    """Runs a command that must end with ``code`` and one sentence that holds ``says``; returns the sentence."""
    before = surroundings.state()
    result = run(*args, environ=environ)
    assert surroundings.state() == before
    assert result.exit_code == code, result.output
    sentence = _sentence(result)
    assert REMEDY.search(sentence), sentence
    for words in says:
        assert words in sentence
    return sentence


def clean(result: Result) -> None:
    """Checks what holds for the output of any command."""
    assert "Traceback" not in result.output
    assert "crash-" not in result.output
    assert SECRET not in result.output
    for line in result.output.splitlines():
        assert PLAIN.fullmatch(line), repr(line)


def _sentence(result: Result) -> str:
    clean(result)
    told = [line for line in result.stderr.splitlines() if line.startswith(("bulkexim: ", "Error: "))]
    assert len(told) == 1, result.stderr
    assert len(told[0]) < 4000
    return result.stderr[result.stderr.index(told[0]) :] + result.stderr.partition(told[0])[0]


def _looks(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    return sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
