"""Options that every command between two servers takes: the ends, what is selected, names, ceilings, logins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from bulkexim.cli.options import group

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

AT_ONCE = click.IntRange(1, 10_000)
A_SECOND = click.FloatRange(0.001, 1_000_000)
CONFIG = click.Path(path_type=Path)
LEVELS = click.Choice(["counts", "content", "full"])

running = group("How it runs")
output = group("Output")


def _one_text(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...] | None) -> str | None:
    return ",".join(values) if values else None


def _all(*options: Callable[[Decorated], Decorated]) -> Callable[[Decorated], Decorated]:
    def decorate(function: Decorated) -> Decorated:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def servers() -> Callable[[Decorated], Decorated]:
    """Return the options that name both ends."""
    option = group("Servers")
    seen = "Folder of its --artifacts-destination, if this machine sees it:"
    behind = "Address of the S3 or other object storage behind it:"
    return _all(
        option(
            "--src-uri", metavar="URI", help="MLflow server to read, or a local store: ./mlruns, sqlite:///mlflow.db."
        ),
        option("--dst-uri", metavar="URI", help="MLflow server to write to."),
        option("--src-workspace", metavar="NAME", help="Workspace at the source."),
        option("--dst-workspace", metavar="NAME", help="Workspace at the destination."),
        option("--src-artifacts-dir", metavar="DIR", help=f"{seen} files are read there."),
        option("--dst-artifacts-dir", metavar="DIR", help=f"{seen} files are written there."),
        option("--src-storage", metavar="URL", help=f"{behind} files are read there, not through the server."),
        option("--dst-storage", metavar="URL", help=f"{behind} large files are written there in parts."),
        option(
            "--source-id",
            metavar="TEXT",
            help="Name by which the source is recognised: its old address, if that changed.",
        ),
    )


def selection() -> Callable[[Decorated], Decorated]:
    """Return the options that say what is moved."""
    option = group("What is moved")
    names = "names, ids or globs, comma-separated; a .txt file, one a line; or 'all'."
    experiments = f"Experiments: {names} Given alone, no model is moved."
    models = f"Registered models: {names} Given alone, runs are moved only where a version points to them."
    since = "Only runs started then or later, such as 2026-01-31T12:00:00."
    deleted = "Deleted experiments and runs too; they arrive deleted."
    without = "Kinds to leave out, comma-separated or repeated."
    accept = "What may stay behind without exit code 3: causes and kinds as the report names them."
    return _all(
        option("--experiments", metavar="LIST", help=experiments),
        option("--models", metavar="LIST", help=models),
        option("--run-start-time", metavar="UTC", help=since),
        option("--runs-until", metavar="UTC", help="Only runs started before."),
        option("--include-deleted", is_flag=True, help=deleted),
        option("--no-artifacts", is_flag=True, help="Leave artifacts behind."),
        option("--without", multiple=True, callback=_one_text, metavar="KIND", help=without),
        option("--accept", multiple=True, callback=_one_text, metavar="CAUSE", help=accept),
    )


def names() -> Callable[[Decorated], Decorated]:
    """Return the options that give objects other names."""
    option = group("Names at the destination")
    return _all(
        option("--experiment-rename-file", metavar="FILE", help="CSV lines 'old name,new name'."),
        option("--model-rename-file", metavar="FILE", help="CSV lines 'old name,new name'."),
    )


def ceilings(prefix: str, name: str) -> Callable[[Decorated], Decorated]:
    """Return the options that limit the traffic of one of the two servers."""
    option = group("Ceilings (without them it finds its own pace)")
    return _all(
        option(f"--{prefix}-concurrency", type=AT_ONCE, metavar="N", help=f"Requests at once at the {name}."),
        option(f"--{prefix}-rps", type=A_SECOND, metavar="N", help=f"Requests a second at the {name}."),
    )


def login(prefix: str, name: str) -> Callable[[Decorated], Decorated]:
    """Return the options with which one of the two servers is entered."""
    option = group(f"Login at the {name} (better given as variables, see above)")
    return _all(
        option(f"--{prefix}-username", metavar="NAME", help="User of HTTP basic authentication."),
        option(f"--{prefix}-password", metavar="SECRET", help="Its password; others on this machine can read flags."),
        option(f"--{prefix}-token", metavar="SECRET", help="Bearer token; others on this machine can read flags."),
        option(f"--{prefix}-auth", metavar="PLUGIN", help="Name of an MLflow request_auth_provider plugin."),
        option(f"--{prefix}-insecure-tls", is_flag=True, help="Do not check the server's certificate."),
        option(f"--{prefix}-server-cert-path", metavar="FILE", help="CA bundle to check it with."),
        option(f"--{prefix}-client-cert-path", metavar="FILE", help="Client certificate with its key."),
    )


def traffic() -> Callable[[Decorated], Decorated]:
    """Return the ceilings and the logins of both servers."""
    return _all(
        ceilings("src", "source"), ceilings("dst", "destination"), login("src", "source"), login("dst", "destination")
    )
