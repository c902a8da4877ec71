"""Settings: what the user may choose, and where the choice may come from (file, environment, flags)."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import msgspec

from bulkexim.errors import UsageError

Positive = Annotated[int, msgspec.Meta(gt=0)]
Rate = Annotated[float, msgspec.Meta(gt=0)]
ENV_PREFIX = "BULKEXIM_"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One end of a migration, with the login for it. Secrets never show in ``repr``."""

    uri: str
    workspace: str | None = None
    username: str | None = None
    password: str | None = None
    token: str | None = None
    auth: str | None = None
    insecure_tls: bool = False
    server_cert_path: str | None = None
    client_cert_path: str | None = None
    concurrency: Positive | None = None
    rps: Rate | None = None

    def __repr__(self) -> str:
        return f"Endpoint(uri={self.uri!r}, workspace={self.workspace!r})"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to move and how, apart from the two ends.

    ``experiments`` and ``models`` hold names, ids or globs; ``None`` means: not chosen.
    Times are in milliseconds since the epoch (UTC), start inclusive, end exclusive.
    ``without`` names kinds that are left out knowingly.
    """

    experiments: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    run_start_time: int | None = None
    runs_until: int | None = None
    include_deleted: bool = False
    artifacts: bool = True
    experiment_renames: Mapping[str, str] = {}
    model_renames: Mapping[str, str] = {}
    without: tuple[str, ...] = ()
    work_dir: Path = Path(".bulkexim")
    source_id: str | None = None
    recheck: bool = False
    #: Seconds after which a create that nobody saw arrive counts as never carried out.
    settle_seconds: float = 30.0


#: Flags of one side, in the order of `Endpoint`.
SIDE_KEYS = tuple(name for name in Endpoint.__struct_fields__ if name != "uri")
#: Variables that MLflow itself reads, by the key of `Endpoint` (``mlflow.environment_variables``).
MLFLOW_VARIABLES = {
    "username": "MLFLOW_TRACKING_USERNAME",
    "password": "MLFLOW_TRACKING_PASSWORD",
    "token": "MLFLOW_TRACKING_TOKEN",
    "auth": "MLFLOW_TRACKING_AUTH",
    "insecure_tls": "MLFLOW_TRACKING_INSECURE_TLS",
    "server_cert_path": "MLFLOW_TRACKING_SERVER_CERT_PATH",
    "client_cert_path": "MLFLOW_TRACKING_CLIENT_CERT_PATH",
}


class FileSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The keys of a configuration file: the long flags of ``migrate-workspace`` without their dashes."""

    src_uri: str | None = None
    dst_uri: str | None = None
    experiments: tuple[str, ...] | str | None = None
    models: tuple[str, ...] | str | None = None
    run_start_time: str | datetime | None = None
    runs_until: str | datetime | None = None
    include_deleted: bool | None = None
    no_artifacts: bool | None = None
    experiment_rename_file: str | None = None
    model_rename_file: str | None = None
    without: tuple[str, ...] | str | None = None
    work_dir: str | None = None
    source_id: str | None = None
    recheck: bool | None = None
    dry_run: bool | None = None
    src_workspace: str | None = None
    src_username: str | None = None
    src_password: str | None = None
    src_token: str | None = None
    src_auth: str | None = None
    src_insecure_tls: bool | None = None
    src_server_cert_path: str | None = None
    src_client_cert_path: str | None = None
    src_concurrency: Positive | None = None
    src_rps: Rate | None = None
    dst_workspace: str | None = None
    dst_username: str | None = None
    dst_password: str | None = None
    dst_token: str | None = None
    dst_auth: str | None = None
    dst_insecure_tls: bool | None = None
    dst_server_cert_path: str | None = None
    dst_client_cert_path: str | None = None
    dst_concurrency: Positive | None = None
    dst_rps: Rate | None = None


_KEYS = FileSettings.__struct_fields__


def load(flags: Mapping[str, Any], config: Path | None, environ: Mapping[str, str] | None = None) -> FileSettings:
    """Merge file, environment and flags, in rising order; a flag that is ``None`` was not given.

    :raises UsageError: a key or value is wrong; the sentence names where it stands and what was expected
    """
    environ = os.environ if environ is None else environ
    merged: dict[str, Any] = {}
    for origin, values in (
        (str(config) if config else "", _from_file(config) if config else {}),
        ("environment", _from_environment(environ)),
        ("command line", {key: value for key, value in flags.items() if value is not None}),
    ):
        merged |= _checked(origin, values)
    return FileSettings(**merged)


def _from_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML ({error}).") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key in _KEYS:
        side_key = key[4:] if key[:4] in ("src_", "dst_") else None
        shared = MLFLOW_VARIABLES.get(side_key or "")
        names = [ENV_PREFIX + key.upper()]
        if side_key in MLFLOW_VARIABLES and shared:
            names = [ENV_PREFIX + key[:4].upper() + shared, *names, shared]
        value = next((environ[name] for name in names if environ.get(name)), None)
        if value is not None:
            values[key] = value
    return values


def _checked(origin: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` converted to the types of `FileSettings`; texts of the environment become numbers."""
    encoded = {_kebab(key): value for key, value in values.items()}
    unknown = sorted(set(encoded) - {_kebab(key) for key in _KEYS})
    if unknown:
        raise UsageError(f"{origin}: there is no setting {unknown[0]!r}.", f"Known are: {', '.join(map(_kebab, _KEYS))}.")
    try:
        checked = msgspec.convert(encoded, FileSettings, strict=origin != "environment")
    except msgspec.ValidationError as error:
        expected, _, where = str(error).partition(" - at `$.")
        raise UsageError(f"{origin}: {where.rstrip('`') or 'the file'}: {expected[:1].lower()}{expected[1:]}.") from error
    return {key: getattr(checked, key) for key in _KEYS if _kebab(key) in encoded}


def _kebab(key: str) -> str:
    return key.replace("_", "-")


def endpoint(merged: FileSettings, side: str) -> Endpoint:
    """Return the end ``src`` or ``dst`` of the merged settings.

    :raises UsageError: its address is missing
    """
    uri = getattr(merged, f"{side}_uri")
    if not uri:
        raise UsageError(f"--{side}-uri is missing.", "Give the address of an MLflow server, such as http://host:5000.")
    values = {key: getattr(merged, f"{side}_{key}") for key in SIDE_KEYS}
    return Endpoint(uri=uri, **{key: value for key, value in values.items() if value is not None})


def settings(merged: FileSettings) -> Settings:
    """Return the settings that do not belong to one side.

    :raises UsageError: a file or a time cannot be read
    """
    return Settings(
        experiments=_listing(merged.experiments),
        models=_listing(merged.models),
        run_start_time=_moment("run-start-time", merged.run_start_time),
        runs_until=_moment("runs-until", merged.runs_until),
        include_deleted=bool(merged.include_deleted),
        artifacts=not merged.no_artifacts,
        experiment_renames=_renames(merged.experiment_rename_file),
        model_renames=_renames(merged.model_rename_file),
        without=_listing(merged.without) or (),
        work_dir=Path(merged.work_dir or Settings().work_dir),
        source_id=merged.source_id,
        recheck=bool(merged.recheck),
    )


def _listing(value: tuple[str, ...] | str | None) -> tuple[str, ...] | None:
    """Return names from a list, a comma-separated text or a .txt file of one name a line; ``all`` means no choice."""
    if value is None:
        return None
    if isinstance(value, tuple):
        return value
    if value.endswith(".txt"):
        names = _lines(Path(value))
    else:
        names = [name.strip() for name in value.split(",")]
    names = [name for name in names if name]
    if not names:
        raise UsageError(f"{value!r} names nothing.", "Give names, ids, globs or a .txt file with one a line.")
    return None if names == ["all"] else tuple(names)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read ({error}).") from error


def _renames(path: str | None) -> dict[str, str]:
    """Read ``old,new`` lines. A name that holds a comma stands in double quotes (as in CSV).

    An old name matches a whole name, or, when it ends with ``*``, every name that begins so.
    """
    import csv  # noqa: PLC0415 - only this rarely used option needs it

    if path is None:
        return {}
    renames: dict[str, str] = {}
    for number, row in enumerate(csv.reader(_lines(Path(path))), start=1):
        if not row:
            continue
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise UsageError(f"{path}: line {number}: expected 'old name,new name'.", "Quote a name that holds a comma.")
        renames[row[0].strip()] = row[1].strip()
    return renames


def _moment(key: str, value: str | datetime | None) -> int | None:
    """Return milliseconds since the epoch for a UTC date or time in ISO form."""
    if value is None:
        return None
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError as error:
        expected = "Expected a UTC date or time such as 2026-01-31 or 2026-01-31T12:00:00."
        raise UsageError(f"{key}: {value!r} is not a time.", expected) from error
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    return int(moment.timestamp() * 1000)
