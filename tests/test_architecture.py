"""The map of the house, read from its imports: everything stands on what is below it, and on nothing else."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "bulkexim"
LONGEST = 400

#: What each room may import from, beside itself; the order is that of the floors, from the roof down.
ROOMS = {
    "door": {"cli", "demo", "engine", "kinds", "artifacts", "ends", "ledger", "http", "ground"},
    "cli": {"door", "demo", "engine", "kinds", "artifacts", "ends", "ledger", "http", "ground"},
    "demo": {"engine", "kinds", "artifacts", "ends", "ledger", "http", "ground"},
    "engine": {"kinds", "artifacts", "ends", "ledger", "http", "ground"},
    "kinds": {"artifacts", "ends", "ledger", "http", "ground"},
    "artifacts": {"ends", "http", "ground"},
    "ends": {"http", "ground"},
    "ledger": {"ground"},
    "http": {"ground"},
    "ground": set(),
}
GROUND = {
    "ids",
    "errors",
    "expected",
    "config",
    "given_files",
    "given_settings",
    "left_behind",
    "logs",
    "masking",
    "platforms",
    "tasks",
}
#: ``import bulkexim`` and ``python -m bulkexim``.
DOOR = {"bulkexim", "__main__"}

#: Where a library may be imported; a file that is named here stands for itself, a room for all of its files.
ONLY = {
    "httpx": {"http", "ends/server.py", "ends/probe.py", "ends/child_server.py"},
    "aiohttp": {"http/transport.py", "http/broken.py"},
    "sqlite3": {"ledger", "ends"},
    "tenacity": {"http"},
    "click": {"cli", "__main__.py"},
    "mlflow": {"ends/embedded.py", "demo"},
}


def files() -> list[Path]:
    """Return every module of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def short(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module(path: Path) -> str:
    """Return the dotted name of a file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(name: str) -> str:
    """Return the room of a dotted name."""
    first = [*name.split("."), "bulkexim"][1]
    if first in GROUND:
        return "ground"
    return "door" if first in DOOR else first


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported(path: Path, *, at_once: bool = False) -> set[str]:
    """Return the modules that a file imports; ``at_once`` leaves out what is imported inside functions."""
    found: set[str] = set()
    pending: list[ast.AST] = [tree(path)]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{short(path)}: a relative import hides where it goes"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = names & ours() if (node.module or "").split(".")[0] == PACKAGE.name else set()
            found |= modules or {node.module or ""}
        elif not (at_once and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)):
            pending += ast.iter_child_nodes(node)
    return found


@cache
def ours() -> frozenset[str]:
    return frozenset(module(path) for path in files())


def our_imports(path: Path, *, at_once: bool = False) -> set[str]:
    """Return the modules of the package that a file imports."""
    return {name for name in imported(path, at_once=at_once) if name in ours()}


@pytest.mark.parametrize("path", files(), ids=short)
def test_a_module_imports_only_from_below(path: Path) -> None:
    here = room(module(path))
    assert here in ROOMS, f"{short(path)} stands in no known room"
    upward = {name for name in our_imports(path) if room(name) not in ROOMS[here] | {here}}
    assert not upward, f"{short(path)} imports {', '.join(sorted(upward))}"


@pytest.mark.parametrize("path", sorted((PACKAGE / "kinds" / "compare").glob("*.py")), ids=short)
def test_the_comparison_shares_no_code_with_the_mover(path: Path) -> None:
    # How a call is sent, and how a row that cannot be read is stepped over, belongs to the wire.
    wire = {"bulkexim.ends.server", "bulkexim.ends.page_tokens", "bulkexim.http.retry"}
    allowed = {*wire, "bulkexim.ends.local_artifacts", "bulkexim.ledger.queries"}
    strays = {
        name
        for name in our_imports(path)
        if room(name) != "ground" and name not in allowed and not name.startswith("bulkexim.kinds.compare")
    }
    assert strays == set(), "what one of them does not see would be unseen by the other"


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module(path): our_imports(path) - {module(path)} for path in files()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


@pytest.mark.parametrize("library", ONLY)
def test_a_library_is_used_in_its_own_place_only(library: str) -> None:
    allowed = ONLY[library]
    strays = [
        short(path)
        for path in files()
        if any(name.split(".")[0] == library for name in imported(path))
        and not {short(path), short(path).split("/")[0]} & allowed
    ]
    assert strays == []


@pytest.mark.parametrize("library", ["mlflow", "requests", "yaml"])
def test_nothing_heavy_is_imported_before_it_is_needed(library: str) -> None:
    eager = [
        short(path) for path in files() if library in {name.split(".")[0] for name in imported(path, at_once=True)}
    ]
    assert eager == []


@pytest.mark.parametrize("path", files(), ids=short)
def test_a_file_holds_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{short(path)} has {lines} lines"


def test_the_floors_are_in_order() -> None:
    order = list(ROOMS)
    for floor, name in enumerate(order):
        above = ROOMS[name] & set(order[:floor])
        assert above <= {"door"}, f"{name} stands on {above}"
