"""Settings as they are given: in a file, in the environment, as flags."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bulkexim.config import Endpoint, Level, Positive, Rate, Settings
from bulkexim.errors import UsageError
from bulkexim.expected import in_words, is_plain
from bulkexim.given_files import listing, renames

ENV_PREFIX = "BULKEXIM_"
#: Variables with which our own tests are run.
_OF_TESTS = "BULKEXIM_TEST_"

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
    run_start_time: str | None = None
    runs_until: str | None = None
    include_deleted: bool | None = None
    no_artifacts: bool | None = None
    experiment_rename_file: str | None = None
    model_rename_file: str | None = None
    without: tuple[str, ...] | str | None = None
    accept: tuple[str, ...] | str | None = None
    work_dir: str | None = None
    source_id: str | None = None
    allow_duplicates: bool | None = None
    recheck: bool | None = None
    rebuild_ledger: bool | None = None
    dry_run: bool | None = None
    verify: Level | None = None
    repair: bool | None = None
    src_workspace: str | None = None
    src_artifacts_dir: str | None = None
    src_storage: str | None = None
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
    dst_artifacts_dir: str | None = None
    dst_storage: str | None = None
    dst_username: str | None = None
    dst_password: str | None = None
    dst_token: str | None = None
    dst_auth: str | None = None
    dst_insecure_tls: bool | None = None
    dst_server_cert_path: str | None = None
    dst_client_cert_path: str | None = None
    dst_concurrency: Positive | None = None
    dst_rps: Rate | None = None

    def __repr__(self) -> str:
        return "FileSettings(...)"


_KEYS = FileSettings.__struct_fields__


class _Origin(NamedTuple):
    """Where settings come from; ``called`` says what a key is called there."""

    name: str
    values: Mapping[str, Any]
    called: Mapping[str, str] = {}
    #: Values are texts that stand for numbers and truth values.
    texts: bool = False


def load(flags: Mapping[str, Any], config: Path | None, environ: Mapping[str, str] | None = None) -> FileSettings:
    """Merge file, environment and flags, in rising order; a flag that is ``None`` was not given.

    :raises UsageError: a key or value is wrong; the sentence names where it stands and what was expected
    """
    origins = [
        _from_environment(os.environ if environ is None else environ),
        _Origin("the command line", {_kebab(key): value for key, value in flags.items() if value is not None}),
    ]
    if config is not None:
        origins.insert(0, _from_file(config))
    merged: dict[str, Any] = {}
    for origin in origins:
        merged |= _checked(origin)
    return FileSettings(**merged)


def _from_file(path: Path) -> _Origin:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}).", "Check its name and rights.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"{path}: is not TOML ({error}).", 'Write lines such as src-uri = "http://old:5000", in UTF-8.'
        ) from error
    # TOML has dates of its own; the flags write them as text.
    texts = {key: value.isoformat() for key, value in values.items() if isinstance(value, date)}
    return _Origin(str(path), values | texts)


def _from_environment(environ: Mapping[str, str]) -> _Origin:
    values, called = {}, {}
    for key in _KEYS:
        name = next((name for name in variables(key) if environ.get(name)), None)
        if name is not None:
            values[_kebab(key)] = environ[name]
            called[_kebab(key)] = name
    return _Origin("the environment", values, called, texts=True)


def variables(key: str) -> list[str]:
    """Return the environment variables of a key of `FileSettings`, the strongest first."""
    own = ENV_PREFIX + key.upper()
    side, _, side_key = key.partition("_")
    shared = MLFLOW_VARIABLES.get(side_key) if side in ("src", "dst") else None
    return [f"{ENV_PREFIX}{side.upper()}_{shared}", own, shared] if shared else [own]


def strangers(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable that looks like one of ours and is none; its value may be a secret."""
    known = {name for key in _KEYS for name in variables(key) if name.startswith(ENV_PREFIX)}
    ours = {name for name in environ if name.startswith(ENV_PREFIX) and not name.startswith(_OF_TESTS)}
    return [f"{name!a} is not a variable of bulkexim. {_nearest(name, known)}" for name in sorted(ours - known)]


def _nearest(name: str, known: Iterable[str]) -> str:
    # The prefix that all of them share would make any two alike.
    ends = [one.removeprefix(ENV_PREFIX) for one in known]
    close = get_close_matches(name.removeprefix(ENV_PREFIX), ends, n=1)
    return f"Did you mean {ENV_PREFIX}{close[0]}?" if close else "Each is named after a flag, such as BULKEXIM_SRC_URI."


def _checked(origin: _Origin) -> dict[str, Any]:
    """Return the values of ``origin``, converted to the types of `FileSettings`, by field."""
    fields = {_kebab(field): field for field in _KEYS}
    for key in origin.values:
        if key not in fields:
            close = get_close_matches(key, fields, n=1)
            remedy = f"Did you mean {close[0]!r}?" if close else f"Known are: {', '.join(fields)}."
            raise UsageError(f"{origin.name}: there is no setting {key!r}.", remedy)
    try:
        checked = msgspec.convert(origin.values, FileSettings, strict=not origin.texts)
    except msgspec.ValidationError as error:
        expected, _, where = str(error).partition(" - at `$.")
        key = where.rstrip("`")
        raise UsageError(f"{origin.name}: {origin.called.get(key, key)}: {_in_words(expected)}.") from error
    for key in origin.values:
        if not is_plain(getattr(checked, fields[key])):
            called = origin.called.get(key, key)
            raise UsageError(f"{origin.name}: {called}: holds a NUL, or is not in UTF-8.", "Write it as plain text.")
    return {fields[key]: getattr(checked, fields[key]) for key in origin.values}


def _in_words(expected: str) -> str:
    # A level is the only value of a fixed choice.
    return in_words(expected).replace("Invalid enum value", f"expected one of {', '.join(Level)}, got")


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
        experiments=listing("--experiments", merged.experiments),
        models=listing("--models", merged.models),
        run_start_time=_moment("run-start-time", merged.run_start_time),
        runs_until=_moment("runs-until", merged.runs_until),
        include_deleted=bool(merged.include_deleted),
        artifacts=not merged.no_artifacts,
        experiment_renames=renames(merged.experiment_rename_file),
        model_renames=renames(merged.model_rename_file),
        without=listing("--without", merged.without or None) or (),
        accept=listing("--accept", merged.accept or None) or (),
        work_dir=Path(merged.work_dir or Settings().work_dir),
        source_id=merged.source_id,
        allow_duplicates=bool(merged.allow_duplicates),
        recheck=bool(merged.recheck),
        rebuild_ledger=bool(merged.rebuild_ledger),
    )


def _moment(key: str, value: str | None) -> int | None:
    """Return milliseconds since the epoch for a UTC date or time in ISO form."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError as error:
        expected = "Expected a UTC date or time such as 2026-01-31 or 2026-01-31T12:00:00."
        raise UsageError(f"{key}: {value!r} is not a time.", expected) from error
    seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp()
    if seconds < 0:
        raise UsageError(f"{key}: {value!r} is before 1970.", "Leave it out to take every run.")
    return int(seconds * 1000)
