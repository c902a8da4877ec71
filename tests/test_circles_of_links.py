"""Links among artifacts that lead to a folder above them: the mover and the comparison name each of them once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from bulkexim.artifacts.on_disk import OnDisk
from bulkexim.artifacts.seen import Seen
from bulkexim.artifacts.walking import walk
from bulkexim.config import Level
from bulkexim.ends.server import Server
from bulkexim.http.retry import Traffic
from bulkexim.kinds.compare import roots
from bulkexim.kinds.compare.difference import NotCompared, differences
from bulkexim.kinds.compare.files import Files
from tests.support.answering import LISTING, answering, listing

ROOT = "1/run/artifacts"
#: Where links lead to, and those that are not followed: through one of the last two the other is met again.
LINKS = {"l": ".", "sub/l": "..", "sub/out": "../..", "a/x": "../b", "b/y": "../a"}
CIRCLES = {"l/", "sub/l/", "sub/out/", "a/x/y/", "b/y/x/"}
FILES = {"f", "sub/f", "a/f", "b/f", "a/x/f", "b/y/f"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the folder of some artifacts, with such links, in that of the artifact service."""
    folder = tmp_path / ROOT
    for below in (".", "sub", "a", "b"):
        (folder / below).mkdir(parents=True, exist_ok=True)
        (folder / below / "f").write_bytes(b"1")
    for link, target in LINKS.items():
        (folder / link).symlink_to(target)
    return folder


def following(service: Path, asked: list[str]) -> Server:
    """Return a server that follows links as MLflow's does, and notes what it was asked to list."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != LISTING:
            return httpx.Response(404, json={"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"})
        asked.append(request.url.params["path"])
        found = (service / asked[-1]).iterdir()
        return httpx.Response(200, json={"files": [{"path": one.name, "is_dir": one.is_dir()} for one in found]})

    return answering(answer)


@pytest.mark.anyio
async def test_the_mover_names_each_and_goes_into_none(root: Path) -> None:
    found = [entry async for entry in walk(OnDisk(Seen(root, "", Traffic()), root))]
    told = {entry.left.detail for entry in found if entry.left}
    assert told == {f"{link}: it is a link to a folder above it" for link in CIRCLES}
    assert {entry.path for entry in found if not entry.left} == FILES


@pytest.mark.anyio
async def test_the_comparison_names_each_and_has_no_server_follow_it(root: Path, tmp_path: Path) -> None:
    asked: list[str] = []
    server = replace(following(tmp_path, asked), folder=tmp_path)
    source = roots.Root(server, f"mlflow-artifacts:/{ROOT}", "logged_model", "m", gone=True)
    nothing = roots.Root(listing({}, "destination"), "mlflow-artifacts:/9/it", "logged_model", "m", gone=True)
    sides = await Files(Level.CONTENT).sides(source, nothing, {})
    told = list(differences(sides.expected, sides.found))
    unread = {one.field: one.why for one in told if isinstance(one, NotCompared)}
    assert unread.keys() == {f"artifacts / {link}" for link in CIRCLES}
    assert all("is a link to a folder above it" in why for why in unread.values())
    assert {one.field for one in told} - unread.keys() == {f"artifacts / {path}" for path in FILES}
    assert sorted(asked) == [ROOT, *(f"{ROOT}/{folder}" for folder in ("a", "a/x", "b", "b/y", "sub"))]
