"""The ``MLmodel`` file of a model names the run and the logged model it came from; at the destination they differ."""

from __future__ import annotations

import re
from collections.abc import Mapping

NAME = "MLmodel"
_ID_LINE = re.compile(rb"^(run_id|model_id|model_uuid):([ \t]*)(['\"]?)([\w-]+)(['\"]?[ \t]*\r?)$", re.MULTILINE)
_PATH_LINE = re.compile(rb"^(artifact_path:[ \t]*['\"]?)([^\r\n'\"]+)", re.MULTILINE)


def rewritten(content: bytes, ids: Mapping[str, str], roots: Mapping[str, str]) -> bytes:
    """Return an ``MLmodel`` with source ids and artifact roots replaced; every other byte stays.

    Only the fields of ``mlflow.models.Model`` that hold ids are touched, in their own lines.
    """

    def other_id(line: re.Match[bytes]) -> bytes:
        key, gap, opening, old, ending = line.groups()
        new = ids.get(old.decode())
        return line[0] if new is None else key + b":" + gap + opening + new.encode() + ending

    def other_root(line: re.Match[bytes]) -> bytes:
        old = line[2].decode(errors="surrogateescape")
        for source, destination in roots.items():
            root = source.rstrip("/")
            if root and (old == root or old.startswith(root + "/")):
                return line[1] + (destination.rstrip("/") + old[len(root) :]).encode(errors="surrogateescape")
        return line[0]

    return _PATH_LINE.sub(other_root, _ID_LINE.sub(other_id, content))
