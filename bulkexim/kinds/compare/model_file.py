"""What an ``MLmodel`` file should be at the destination: its lines that name ids and addresses have others there."""

from __future__ import annotations

from collections.abc import Mapping

NAME = "MLmodel"
_IDS = (b"run_id", b"model_id", b"model_uuid")
_ADDRESS = b"artifact_path"


def expected(content: bytes, ids: Mapping[str, str], root: tuple[str, str]) -> bytes:
    """Return the file with source ids (``ids``) and its artifact root (old, new) replaced; all else stays."""
    return b"\n".join(_line(line, ids, root) for line in content.split(b"\n"))


def _line(line: bytes, ids: Mapping[str, str], root: tuple[str, str]) -> bytes:
    name, colon, rest = line.partition(b":")
    value = rest.strip().strip(b"'\"")
    if not colon or not value:
        return line
    if name in _IDS:
        new = ids.get(value.decode(errors="replace"))
        return line if new is None else name + colon + rest.replace(value, new.encode(), 1)
    old, target = (address.rstrip("/").encode() for address in root)
    if name == _ADDRESS and old and (value == old or value.startswith(old + b"/")):
        return name + colon + rest.replace(old, target, 1)
    return line
