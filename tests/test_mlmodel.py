"""The ``MLmodel`` file: its own ids and root change, and not one byte more."""

from __future__ import annotations

import pytest

from bulkexim.artifacts.mlmodel import rewritten

OLD, NEW = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
IDS = {OLD: NEW, "m-old": "m-new"}
ROOTS = {"mlflow-artifacts:/1/models/m-old/artifacts": "mlflow-artifacts:/9/models/m-new/artifacts"}

WHOLE = f"""\
artifact_path: mlflow-artifacts:/1/models/m-old/artifacts
flavors:
  python_function:
    env:
      conda: conda.yaml
    loader_module: mlflow.sklearn
    run_id: {OLD}
is_signature_from_type_hint: false
mlflow_version: 3.17.2
model_id: m-old
model_size_bytes: 1024
model_uuid: m-old
metadata:
  artifact_path: mlflow-artifacts:/1/models/m-old/artifacts
run_id: {OLD}
signature:
  inputs: '[{{"type": "string", "name": "run_id: {OLD}"}}]'
utc_time_created: '2026-01-31 12:00:00'
"""


def test_the_fields_of_the_model_change_and_everything_else_stays() -> None:
    expected = WHOLE.splitlines()
    expected[0] = "artifact_path: mlflow-artifacts:/9/models/m-new/artifacts"
    expected[expected.index("model_id: m-old")] = "model_id: m-new"
    expected[expected.index("model_uuid: m-old")] = "model_uuid: m-new"
    expected[expected.index(f"run_id: {OLD}")] = f"run_id: {NEW}"
    assert rewritten(WHOLE.encode(), IDS, ROOTS).decode().splitlines() == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"run_id: {OLD}", f"run_id: {NEW}"),
        (f"run_id:  '{OLD}'", f"run_id:  '{NEW}'"),
        (f'run_id: "{OLD}"', f'run_id: "{NEW}"'),
        (f"run_id: {OLD}\r\n", f"run_id: {NEW}\r\n"),
        (f"run_id: {OLD}  \t\r\nx: y", f"run_id: {NEW}  \t\r\nx: y"),
        (f"run_id: '{OLD}' \n\n", f"run_id: '{NEW}' \n\n"),
    ],
)
def test_quotes_spaces_and_line_ends_stay(line: str, expected: str) -> None:
    assert rewritten(line.encode(), IDS, ROOTS).decode() == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"run_id: unknown\n",
        b"run_id:\n",
        b"run_id: null\n",
        b"  run_id: m-old\n",
        b"- run_id: m-old\n",
        b"# run_id: m-old\n",
        b"my_run_id: m-old\n",
        b"run_id: m-old and more\n",
        b"run_id: m-old # a comment\n",
        b"artifact_path: model\n",
        b"artifact_path: mlflow-artifacts:/1/models/m-old/artifacts2\n",
        b"artifact_path: s3://bucket/mlflow-artifacts:/1/models/m-old/artifacts\n",
        b"\xff\xfe not text \x00\n",
        b"artifact_path: caf\xe9\n",
    ],
)
def test_what_is_not_the_models_own_is_left_alone(content: bytes) -> None:
    assert rewritten(content, IDS, ROOTS) == content


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("below", ["", "/model", "/a folder/model"])
def test_a_path_below_the_root_keeps_its_place(below: str, end: str) -> None:
    roots = {f"s3://old/root{end}": f"mlflow-artifacts:/9/root{end}"}
    content = f"artifact_path: 's3://old/root{below}'\n".encode()
    assert rewritten(content, {}, roots).decode() == f"artifact_path: 'mlflow-artifacts:/9/root{below}'\n"


def test_an_unknown_root_replaces_nothing() -> None:
    content = b"artifact_path: /anything\n"
    assert rewritten(content, IDS, {"": "mlflow-artifacts:/9", "/": "mlflow-artifacts:/8"}) == content


def test_rewriting_twice_changes_nothing_more() -> None:
    once = rewritten(WHOLE.encode(), IDS, ROOTS)
    assert rewritten(once, IDS, ROOTS) == once
