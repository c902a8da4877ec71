"""Pieces of MLflow's JSON that several kinds share, and how they are translated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec

from bulkexim.ids import (
    DIGEST_FORM,
    DIGEST_TAG,
    IDENTITY_TAG,
    MARKER_TAG,
    PREFIX,
    SWEPT_TAG,
    MadeFrom,
    SourceId,
    carried_keys,
    digest,
)

#: Longest key of a tag or param (``mlflow.utils.validation``).
KEY_LIMIT = 250

_key = attrgetter("key")
_encode = msgspec.json.Encoder(order="deterministic").encode


class Tag(msgspec.Struct, frozen=True):
    """A tag or param as MLflow sends it; an empty value is left out there."""

    key: str
    value: str = ""


def users_tags(tags: Iterable[Tag]) -> list[Tag]:
    """Return the tags of a source object as they stand at the destination (`carried_keys`), in a fixed order."""
    held = sorted(tags, key=_key)
    if not any(tag.key.startswith(PREFIX) for tag in held):
        return held
    keys = carried_keys(tag.key for tag in held)
    return [tag if keys[tag.key] == tag.key else Tag(fitting(keys[tag.key]), tag.value) for tag in held]


def provenance(values: Mapping[str, object]) -> list[Tag]:
    """Return tags that keep what MLflow's API cannot carry; empty values are left out."""
    return [Tag(f"{PREFIX}source.{key}", str(value)) for key, value in values.items() if value not in ("", None)]


def marks(mark: str, content: str) -> list[Tag]:
    """Return the marker and the digest as tags."""
    return [Tag(MARKER_TAG, mark), Tag(DIGEST_TAG, content)]


def provenance_of(tags: Iterable[Tag], *keys: str, created: str = "") -> MadeFrom:
    """Return what tags say of the object of a source; ``keys`` hold its id, ``created`` its time of creation."""
    held = {tag.key: tag.value for tag in tags if tag.key.startswith(PREFIX)}
    if MARKER_TAG not in held:
        return MadeFrom()
    src_id = SourceId("/".join(held.get(key, "") for key in keys))
    return MadeFrom(held[MARKER_TAG], src_id, held.get(created, ""), held.get(IDENTITY_TAG, ""))


def own_keys(tags: Iterable[Tag]) -> list[str]:
    """Return the keys of bulkexim's own tags, but for the one that a sweep leaves."""
    return [tag.key for tag in tags if tag.key.startswith(PREFIX) and tag.key != SWEPT_TAG]


def tag_value(tags: Iterable[Tag], key: str) -> str:
    """Return the value of one tag, or nothing."""
    return next((tag.value for tag in tags if tag.key == key), "")


def content_digest(*parts: Any) -> str:
    """Return a digest of plain values and structs, the same in every run; rows are given by `unordered`."""
    return DIGEST_FORM + digest(_encode(parts))


def earlier_digest(*parts: Any) -> str:
    """Return the digest that an earlier release gave to some content, rows in the order of the server."""
    return digest(_encode(parts))


def by_key(rows: Iterable[Any]) -> list[Any]:
    """Return rows as they stand in a digest, of which no two have one key."""
    return sorted(rows, key=_key)


def unordered(rows: Iterable[Any]) -> list[msgspec.Raw]:
    """Return rows as they stand in a digest: a server may give them in another order every time."""
    return [msgspec.Raw(row) for row in sorted(map(_encode, rows))]


def key_list(keys: Iterable[str]) -> str:
    """Return names as the text that the ledger keeps in ``written``."""
    return msgspec.json.encode(sorted(keys)).decode()


def gone(written: str, now: Iterable[str]) -> list[str]:
    """Return names that were written the last time and are not there any more."""
    return sorted(set(msgspec.json.decode(written or "[]", type=list[str])) - set(now))


def gone_tags(written: str, now: Iterable[Tag], existing: Iterable[Tag]) -> list[str]:
    """Return keys of tags that were written the last time, are not wanted any more, and still exist."""
    held = {tag.key for tag in existing}
    return [key for key in gone(written, (tag.key for tag in now)) if key in held]


def fitting(key: str, limit: int = KEY_LIMIT) -> str:
    """Return a key that MLflow takes; a long one ends in its digest, so that no two become one."""
    if len(key) <= limit and "\0" not in key:
        return key
    return f"{key.replace(chr(0), '')[: limit - 33]}.{digest(key.encode())}"


def as_dicts(tags: Sequence[Tag]) -> list[dict[str, str]]:
    """Return tags as MLflow takes them in a request."""
    return [{"key": tag.key, "value": tag.value} for tag in tags]
