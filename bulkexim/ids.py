"""Ids of the two ends, and the marker that makes a created object recognisable.

An id of the source and an id of the destination are different types, so that the type checker refuses to mix them.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NewType

SourceId = NewType("SourceId", str)
DestinationId = NewType("DestinationId", str)

#: Everything that bulkexim writes about an object stands under this prefix.
PREFIX = "bulkexim."
#: Tag set in the create call of each object: see `marker`.
MARKER_TAG = PREFIX + "marker"
#: Tag that takes the place of the marker on an object that is being swept away; its value is the marker.
SWEPT_TAG = PREFIX + "swept"
#: Tag with the digest of what was written; a later run compares it with what should be there.
DIGEST_TAG = PREFIX + "digest"


def marker(source: str, kind: str, source_id: str) -> str:
    """Return the 32 hex digits that stand for one source object, the same on any machine and in any run.

    ``source`` is the identity of the source end (see `bulkexim.ends.server.Server.identity`).
    """
    text = f"{source}\0{kind}\0{source_id}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


def digest(data: bytes) -> str:
    """Return the 32 hex digits that stand for the content ``data``."""
    return blake2b(data, digest_size=16).hexdigest()
