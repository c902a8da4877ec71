"""Whether the alterations reach everything that a migration fills: read from the database, not from a list of kinds."""

from collections.abc import Iterable, Mapping

from tests.support.campaigns.alterations.base import Generator
from tests.support.campaigns.alterations.store import Store

_KEY = "names the object that a row belongs to: a row without it is a row removed"
_MADE = "given by the server itself; MLflow's API neither takes nor, for most, shows it"
_PLACE = "no API shows it: MLflow looks for equal rows by it"
_WORKSPACE = "says in which workspace a row is, and so which objects are asked for"
_STATUS_MESSAGE = "MLflow's API cannot set it"

#: What holds rows at a destination and is left alone, with the reason; a column, or a table as a whole.
LEFT_ALONE: Mapping[tuple[str, str], str] = {
    ("alembic_version", "*"): "the schema's own",
    ("workspaces", "*"): "not the tenant's: which workspace is compared is said by the caller",
    **{("runs", column): _MADE for column in ("source_type", "source_name", "entry_point_name", "source_version")},
    ("runs", "deleted_time"): _MADE,
    **{("experiments", column): _MADE for column in ("creation_time", "last_update_time")},
    ("experiments", "experiment_id"): _KEY,
    ("experiments", "artifact_location"): "each run has a root of its own; masks.py names the tag that keeps it",
    **{("logged_models", column): _MADE for column in ("creation_timestamp_ms", "last_updated_timestamp_ms")},
    ("logged_models", "status_message"): _STATUS_MESSAGE,
    **{("registered_models", column): _MADE for column in ("creation_time", "last_updated_time")},
    **{("model_versions", column): _MADE for column in ("creation_time", "last_updated_time", "user_id")},
    ("model_versions", "status_message"): _STATUS_MESSAGE,
    ("model_versions", "storage_location"): "MLflow derives it from the source when a version is created",
    **{(table, "run_uuid"): _KEY for table in ("params", "tags", "metrics", "latest_metrics")},
    ("experiment_tags", "experiment_id"): _KEY,
    **{(f"logged_model_{table}", "model_id"): _KEY for table in ("params", "tags", "metrics")},
    **{(f"logged_model_{table}", "experiment_id"): _PLACE for table in ("params", "tags", "metrics")},
    ("logged_model_metrics", "dataset_uuid"): _PLACE,
    **{(table, "name"): _KEY for table in ("registered_model_tags", "registered_model_aliases", "model_version_tags")},
    ("model_version_tags", "version"): _KEY,
    **{("datasets", column): _PLACE for column in ("dataset_uuid", "experiment_id")},
    **{(table, "input_uuid"): _KEY for table in ("inputs", "input_tags")},
    **{("inputs", column): "says what kind of link a row is" for column in ("source_type", "destination_type")},
    **{
        (table, "workspace"): _WORKSPACE
        for table in (
            "experiments",
            "registered_models",
            "registered_model_tags",
            "registered_model_aliases",
            "model_versions",
            "model_version_tags",
        )
    },
}


def untouched(store: Store, generators: Iterable[Generator]) -> list[str]:
    """Columns of tables with rows that no alteration reaches and that are not left alone for a reason."""
    reached = {column for generator in generators for column in generator.columns} | LEFT_ALONE.keys()
    return [
        f"{name}.{column}"
        for name, rows in store.tables.items()
        if rows and (name, "*") not in reached
        for column in rows[0].values
        if (name, column) not in reached
    ]
