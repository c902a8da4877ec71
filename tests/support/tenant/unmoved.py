"""What a tenant holds of kinds that are counted, if not moved: traces, a prompt, an evaluation dataset."""

import json

from tests.support.tenant.builder import START, Builder


def add(build: Builder) -> None:
    """Creates a prompt of two versions and two traces."""
    for text in ("Hello {{name}}", "Good morning, {{name}}"):
        build.client.register_prompt("greeting", text, commit_message=f"say {text}", tags={"language": "en"})
    build.prompts.append("greeting")
    for number in range(2):
        # Version 2 of the API is served by MLflow 2 and 3 alike.
        begun = {"experiment_id": build.experiments["plain"], "timestamp_ms": START + number}
        trace = build.rest("POST", "2.0/mlflow/traces", begun | {"tags": [{"key": "mlflow.traceName", "value": "ask"}]})
        request_id = trace["trace_info"]["request_id"]
        ended = {"timestamp_ms": START + 500, "status": "OK"}
        build.rest("PATCH", f"2.0/mlflow/traces/{request_id}", ended | {"request_id": request_id})
        build.traces.append(request_id)


def add_evaluation_dataset(build: Builder) -> None:
    """Creates an evaluation dataset of three records (MLflow 3.4)."""
    dataset = build.client.create_dataset("questions", [build.experiments["plain"]], {"language": "en"})
    records = [{"inputs": {"question": f"{n} + {n}?"}, "expectations": {"sum": 2 * n}} for n in range(3)]
    # ``dataset.merge_records`` asks the global tracking server, not the one the dataset came from.
    body = {"dataset_id": dataset.dataset_id, "records": json.dumps(records)}
    build.rest("POST", f"3.0/mlflow/datasets/{dataset.dataset_id}/records", body)
    build.evaluation_datasets.append(dataset.dataset_id)
