"""Every command line in a help text does what stands there, between real servers."""

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient

from bulkexim.cli.main import COMMANDS, main
from tests.support.servers import MlflowServer, Servers
from tests.support.tenant import Tenant


def examples() -> Iterator[str]:
    """Yields each line of a help text that is a command of ours."""
    helps = [main.help or ""]
    for name in COMMANDS:
        command = main.get_command(None, name)  # type: ignore[arg-type]  # the context is not looked at
        assert command is not None
        helps.append(command.help or "")
    for text in helps:
        yield from re.findall(r"^ +(bulkexim .+)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def source(servers: Servers, small_server: MlflowServer, small_tenant: Tenant) -> MlflowServer:
    """A server with the experiments that examples name; nobody changes it after."""
    server = servers.copy(small_server)
    for name in ("team-a", "team-b", "shared", "other"):
        MlflowClient(server.url).create_experiment(name)
    return server


@pytest.fixture
def surroundings(
    source: MlflowServer, servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Makes everything that examples name, and returns what stands for their addresses."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("BULKEXIM_", "MLFLOW_TRACKING_"))]:
        monkeypatch.delenv(name)
    destination = servers.start()
    Path("team.toml").write_text(f'src-uri = "{source.url}"\ndst-uri = "{destination.url}"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        # The store itself: MLflow remembers a relative one by its name, wherever the directory is.
        laptop = MlflowClient(str(tmp_path / "mlruns"))
        laptop.create_run(laptop.create_experiment("laptop"))
    new = dict.fromkeys(("http://new:5000", "http://new", "https://new"), destination.url)
    return {"http://old:5000": source.url} | new


@pytest.mark.parametrize("example", sorted(set(examples())))
def test_an_example_of_a_help_text_works(example: str, surroundings: dict[str, str]) -> None:
    _, *args = shlex.split(example)
    result = CliRunner().invoke(main, [surroundings.get(arg, arg) for arg in args])
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr
    destination = MlflowClient(surroundings["http://new:5000"])
    names = {found.name for found in destination.search_experiments()} - {"Default"}
    models = {found.name for found in destination.search_registered_models()}
    if "--dry-run" in args:
        assert (names, models) == (set(), set())
    elif "--experiments" in args:
        assert (names, models) == ({"team-a", "team-b", "shared", "small experiment"}, {"small model"})
    elif "migrate-workspace" in args:
        assert len(names) == 6


def test_there_are_examples() -> None:
    found = list(examples())
    assert len(found) >= 4
    assert not [one for one in found if one.split()[1] not in COMMANDS]
