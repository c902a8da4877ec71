"""Paths and ids that a server makes up: none of them leads a request or a file out of its folder."""

import json
import re
from urllib.parse import unquote, urlsplit

import pytest

from bulkexim.artifacts.names import DEEPEST, LONGEST, below, below_listed
from bulkexim.ends.server import segment
from bulkexim.errors import ObjectError
from tests.test_bad_inputs.liar import CONTENT, LISTING, MODEL, RUN, Liar, but
from tests.test_bad_inputs.test_flags import migration
from tests.test_bad_inputs.test_lying_replies import told
from tests.test_bad_inputs.told import Surroundings, clean, run

#: Names of files that no listing may hold, and why.
UNSAFE = [
    ("", "is no path"),
    (".", "is no path"),
    ("./a", "is no path"),
    ("a/./b", "is no path"),
    ("a//b", "is no path"),
    ("a/", "is no path"),
    ("..", "leads out of its folder"),
    ("../a", "leads out of its folder"),
    ("../../../../etc/cron.d/a", "leads out of its folder"),
    ("a/../b", "leads out of its folder"),
    ("a/..", "leads out of its folder"),
    ("..\\a", "leads out of its folder"),
    ("a\\..\\..\\b", "leads out of its folder"),
    ("/", "begins at the root of a disk"),
    ("/etc/passwd", "begins at the root of a disk"),
    ("//host/share", "begins at the root of a disk"),
    ("a\0b", "holds a NUL"),
    ("\0", "holds a NUL"),
    ("a" * (LONGEST + 1), "is longer than 4,096 bytes"),
    ("\u2603" * (LONGEST // 2), "is longer than 4,096 bytes"),
    ("a/" * (DEEPEST + 1) + "b", "is more than 100 folders deep"),
]

#: Names that a folder may well hold; a server would take them for something else.
MISREAD = [
    "%2e%2e",
    "%2e%2e/a",
    "%252e%252e%252fa",
    "..%2fa",
    "..%5ca",
    "a/%2E./b",
    "%2fetc%2fpasswd",
    "%43:/a",
    "a%20b",
    "a#b",
]

#: Names that are unusual, and names.
SAFE = [
    *MISREAD,
    "\\",
    "\\\\host\\share",
    "C:",
    "C:\\a",
    "c:/a",
    "a%00b",
    "...",
    "..a",
    "a..",
    ".hidden",
    " ",
    "a b",
    "~",
    "a:b",
    "C:a",
    "-rf",
    "a\\b",
    "a\nb",
    "\u2603",
    "100%",
    "con",
    "$HOME",
]

#: Ids that can be no part of an address.
IDS = [
    "",
    ".",
    "..",
    "a/b",
    "../../x",
    "a\\b",
    "%2e%2e",
    "a%2fb",
    "a b",
    "a?b",
    "a#b",
    "a\0",
    "\u0661",
    "-a",
    "a" * 300,
    "'",
    "`",
]


@pytest.mark.parametrize(("name", "why"), UNSAFE)
def test_a_path_that_leads_elsewhere_is_refused(name: str, why: str) -> None:
    for folder in ("", "root", "root/sub"):
        with pytest.raises(ObjectError, match=why) as caught:
            below(folder, name)
        assert caught.value.cause == "unsafe file name" and caught.value.remedy
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize("folder", ["..", "a/../..", "/a", "a//b", "a/", "a\0"])
def test_a_root_that_leads_elsewhere_is_refused(folder: str) -> None:
    with pytest.raises(ObjectError, match="The server names a file"):
        below(folder, "a.txt")


@pytest.mark.parametrize("name", SAFE)
def test_an_unusual_name_stays_as_it_is(name: str) -> None:
    assert below("", name) == name
    assert below("root", name) == f"root/{name}"
    assert below_listed("root", f"root/{name}") == f"root/{name}"


def test_a_listing_that_lists_its_own_folder_is_refused() -> None:
    for path in ("root", "root/", "rooted/a/../b"):
        with pytest.raises(ObjectError, match="The server names a file"):
            below_listed("root", path)


@pytest.mark.parametrize("name", IDS)
def test_an_id_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ObjectError, match="which is none of MLflow's"):
        segment(name)


def _listed(*paths: str, is_dir: bool = False) -> bytes:
    return json.dumps(
        {"files": [{"path": path, "is_dir": is_dir, "file_size": len(CONTENT)} for path in paths]}
    ).encode()


def _asked_for(liar: Liar) -> list[str]:
    """Returns every path and parameter that was asked for, as a server reads them."""
    return [unquote(unquote(seen.target)) for seen in liar.seen]


#: Where the artifact root of the logged model is, and which route lists it.
ROOTS = [
    ("mlflow-artifacts:/1/models/x/artifacts", f"src GET {LISTING}"),
    ("s3://bucket/1", f"src GET logged-models/{MODEL}/artifacts/directories"),
]


@pytest.mark.parametrize(("root", "route"), ROOTS)
@pytest.mark.parametrize("name", [*(name for name, _ in UNSAFE if len(name) < 100), *MISREAD])
def test_a_listing_that_leads_elsewhere_ends_with_its_object(
    liar: Liar, surroundings: Surroundings, root: str, route: str, name: str
) -> None:
    models = "src POST logged-models/search"
    liar.lying(
        {models: but(models, "models.0.info.artifact_uri", root), route: _listed(name, is_dir=root.startswith("s3"))}
    )
    told(liar, surroundings, codes=(3,))
    assert not [path for path in _asked_for(liar) if re.search(r"\.\.[/\\]|[/\\]\.\.|passwd|\0", path)]
    assert not [seen for seen in liar.seen if seen.method == "PUT"]


@pytest.mark.parametrize(
    "root", ["mlflow-artifacts:/../../etc", "mlflow-artifacts:/1//2", "mlflow-artifacts:/%2e%2e/x"]
)
def test_a_root_that_leads_elsewhere_ends_with_its_object(liar: Liar, surroundings: Surroundings, root: str) -> None:
    models, created = "src POST logged-models/search", "dst POST logged-models"
    for route, where in ((models, "models.0.info.artifact_uri"), (created, "model.info.artifact_uri")):
        liar.lying({route: but(route, where, root)})
        before = surroundings.state()
        result = run(*migration(liar, "--progress", "off", "--recheck"))
        clean(result)
        assert surroundings.state() == before
        assert result.exit_code == 3, result.output
        assert not [path for path in _asked_for(liar) if ".." in path]


@pytest.mark.parametrize("names", [["a.txt", "A.txt"], ["a", "a.txt"], ["caf\u00e9", "cafe\u0301"]])
def test_twins_by_case_or_form_are_two_files(liar: Liar, surroundings: Surroundings, names: list[str]) -> None:
    liar.lying({f"src GET {LISTING}": _listed(*names)})
    told(liar, surroundings, codes=(0,))
    written = {unquote(urlsplit(seen.target).path).rpartition("/")[2] for seen in liar.seen if seen.method == "PUT"}
    assert written == set(names)


@pytest.mark.parametrize("paths", [["again"], ["again", "and again"]])
@pytest.mark.parametrize(("root", "route"), ROOTS)
def test_a_listing_without_end_ends(
    liar: Liar, surroundings: Surroundings, root: str, route: str, paths: list[str]
) -> None:
    models = "src POST logged-models/search"
    liar.lying({models: but(models, "models.0.info.artifact_uri", root), route: _listed(*paths, is_dir=True)})
    told(liar, surroundings, codes=(3,))
    assert len(liar.seen) < 3 * DEEPEST


@pytest.mark.parametrize(
    "run_id", ["' OR name LIKE '%", "a') or ('1'='1", '"', "`", "a'b", "\\'", "../../x", "%27", ""]
)
def test_no_id_changes_the_question_of_a_filter(liar: Liar, surroundings: Surroundings, run_id: str) -> None:
    versions = "src GET model-versions/search"
    version = json.loads(but(versions, "model_versions.0.run_id", run_id))["model_versions"][0]
    liar.lying({versions: but(versions, "model_versions", [{**version, "source": f"runs:/{run_id}/model"}])})
    told(liar, surroundings, codes=(0, 3))
    searches = [seen.body for seen in liar.seen if seen.target.endswith("runs/search")]
    filters = [json.loads(body).get("filter", "") for body in searches if isinstance(body, bytes)]
    asked = [one for one in filters if "run_id" in one]
    assert all(re.fullmatch(r"attributes\.run_id IN \('[\w-]+'(, '[\w-]+')*\)", one) for one in asked), asked


@pytest.mark.parametrize(
    "model_id", ["", "..", "../../x", "a/b", "%2e%2e%2fx", "a?b=c", "a#b", "a b", "\0", "m-" + "b" * 300]
)
def test_no_id_of_a_logged_model_changes_a_path(liar: Liar, surroundings: Surroundings, model_id: str) -> None:
    models = "src POST logged-models/search"
    model = json.loads(but(models, "models.0.info.artifact_uri", "s3://bucket/1"))["models"][0]
    model["info"]["model_id"] = model_id
    liar.lying({models: but(models, "models", [model])})
    told(liar, surroundings, codes=(3, 5))
    assert {urlsplit(seen.target).path for seen in liar.seen if "logged-models/" in seen.target} <= {
        f"/src/api/2.0/mlflow/logged-models/{one}" for one in ("search", MODEL)
    } | {f"/dst/api/2.0/mlflow/logged-models/{one}" for one in ("search",)}


@pytest.mark.parametrize("run_id", ["..", "../../x", "a/b", "%2e%2e", "a&path=b", "\0", "a" * 100_000])
def test_no_id_of_a_run_changes_a_path(liar: Liar, surroundings: Surroundings, run_id: str) -> None:
    runs = "src POST runs/search"
    one = json.loads(but(runs, "runs.0.info.artifact_uri", "s3://bucket/1"))["runs"][0]
    one["info"]["run_id"] = run_id
    liar.lying({runs: but(runs, "runs", [one])})
    told(liar, surroundings, codes=(0, 3))
    assert not [seen for seen in liar.seen if ".." in urlsplit(seen.target).path or RUN in seen.target]
