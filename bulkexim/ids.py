"""Ids of the two ends, and the marker that makes a created object recognisable.

An id of the source and an id of the destination are different types, so that the type checker refuses to mix them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple, NewType

SourceId = NewType("SourceId", str)
DestinationId = NewType("DestinationId", str)

#: Everything that bulkexim writes about an object stands under this prefix.
PREFIX = "bulkexim."
#: Tag set in the create call of each object: see `marker`.
MARKER_TAG = PREFIX + "marker"
#: Tag with the identity of the source in plain text, on experiments and registered models: no marker can be read.
IDENTITY_TAG = PREFIX + "source.server"
#: Tag that takes the place of the marker on an object that is being swept away; its value is the marker.
SWEPT_TAG = PREFIX + "swept"
#: Tag with the digest of what was written; a later run compares it with what should be there.
DIGEST_TAG = PREFIX + "digest"
#: Begins every digest of content; those of earlier releases, which depended on the order of rows, begin with none.
DIGEST_FORM = "2:"
#: Where tags go that an earlier migration wrote about an object: see `carried_keys`.
ORIGIN = PREFIX + "origin."


def marker(source: str, kind: str, source_id: str) -> str:
    """Return the 32 hex digits that stand for one source object, the same on any machine and in any run.

    ``source`` is the identity of the source end (see `bulkexim.ends.server.Server.identity`).
    """
    text = f"{source}\0{kind}\0{source_id}"
    return blake2b(text.encode(), digest_size=16).hexdigest()


class MadeFrom(NamedTuple):
    """What the tags of an object say of the one from which a migration made it; empty where none did.

    ``created`` is when that one was created (as its server told it), ``identity`` that of its server.
    """

    mark: str = ""
    src_id: SourceId = SourceId("")
    created: str = ""
    identity: str = ""

    def is_from(self, identity: str, kind: str) -> bool:
        """Return whether the object was made from one of the source ``identity``."""
        return bool(self.mark) and self.mark == marker(identity, kind, self.src_id)

    def named(self, kind: str) -> str:
        """Return the identity of the source, if the marker proves it."""
        return self.identity if self.identity and self.is_from(self.identity, kind) else ""


def digest(data: bytes) -> str:
    """Return the 32 hex digits that stand for the content ``data``."""
    return blake2b(data, digest_size=16).hexdigest()


def carried_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return under which key each tag of a source object stands at the destination; tags of users keep their own.

    What an earlier migration wrote about the object (``bulkexim.source.run_id``, ``bulkexim.long.tag.0.notes``, its
    marker) is content of the tenant by now and moves to ``bulkexim.origin.<n>.`` (``bulkexim.origin.1.source.run_id``),
    out of the way of what this migration writes. ``n`` counts the migrations behind the object: a tag that stands
    there already keeps its key, so 1 is always the server that the object came from first.
    """
    keys = set(keys)
    hops = {int(found[1]) for key in keys if (found := _HOP.match(key))}
    hop = f"{ORIGIN}{max(hops, default=0) + 1}."
    return {
        key: hop + key.removeprefix(PREFIX) if key.startswith(PREFIX) and not _HOP.match(key) else key for key in keys
    }


_HOP = re.compile(re.escape(ORIGIN) + r"([1-9][0-9]{0,5})\.", re.ASCII)
